import { setTimeout as sleep } from 'node:timers/promises';
import { resolveSecret } from '../config/secret.ts';
import type { TracesConfig } from '../config/schema-telemetry.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { Span, TraceMark } from '../domain/trace.ts';
import { sendSpans, type Collector } from '../providers/otlp/send-spans.ts';
import type { ActivityDeps } from './deps.ts';
import { currentContext } from './failure-mapping.ts';

/** The watch is handed on now and then, so that the history of its workflow tells that it goes on. */
const shiftMs = 6 * 3_600_000;
const lookMs = 3_000;
/** Temporal lists a run late, and two that close at once in any order: what closed so shortly before is looked for again. */
const overlapMs = 60_000;
/** Spans of one request. */
const perRequest = 500;
const mostWaitMs = 60_000;
/** A collector that says so of a request will say so of it again; of credentials and addresses it may not. */
const isHopeless = (status: unknown): boolean => status === 400 || status === 413 || status === 415 || status === 422;

/** What `telemetry.traces` says, its secrets read. @throws secretMissing */
export function collectorOf({ endpoint, headers, attributes, timeout }: TracesConfig): Collector {
  return {
    endpoint: resolveSecret(endpoint, 'telemetry.traces.endpoint'),
    headers: Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, resolveSecret(value, `telemetry.traces.headers.${name}`)])),
    resource: { 'service.name': 'resurgo', ...attributes },
    timeoutMs: timeout,
  };
}

export function tracesActivities(deps: ActivityDeps) {
  return {
    /**
     * Sends every run that ends to the collector, also those that ended while it, or all workers, were away. Effect: requests; a span that is sent twice has the same id.
     * Heartbeat: how far it is, from where another worker goes on. Ends after some hours with that, or at once with null where no traces are wanted.
     */
    async sendTraces(from: TraceMark | null): Promise<TraceMark | null> {
      const config = deps.loaded.config.telemetry?.traces;
      if (config === undefined) return null;
      const { runs } = deps;
      const context = currentContext();
      if (runs === undefined || context === undefined) throw new ResurgoError('bug', 'traces are sent only by a worker');
      const stop = AbortSignal.any([AbortSignal.timeout(shiftMs), context.cancellationSignal]);
      const mark = new Mark((context.info.heartbeatDetails as TraceMark | undefined) ?? from ?? { since: Date.now(), sent: [] });
      const beat = setInterval(() => { context.heartbeat(mark.value); }, 1000);
      try {
        const isOver = (): boolean => stop.aborted;
        for (let failures = 0; !isOver();) {
          try {
            await sendNew(runs, config, mark, stop);
            failures = 0;
          } catch (error) {
            if (isOver()) break;
            failures++;
            if (failures === 1 || failures % 30 === 0) context.log.warn(`traces are not sent: ${error instanceof Error ? error.message : String(error)}`);
          }
          const wait = failures === 0 ? lookMs : Math.min(mostWaitMs, 1000 * 2 ** Math.min(failures, 10));
          await sleep(wait, undefined, { signal: stop }).catch(() => undefined);
        }
      } finally {
        clearInterval(beat);
        context.heartbeat(mark.value);
      }
      if (context.cancellationSignal.aborted) await context.cancelled;
      return mark.value;
    },
  };

  /** @throws channelUnreachable, channelThrottled, channelRefused, and what Temporal says: it is gone on from the mark */
  async function sendNew(runs: NonNullable<ActivityDeps['runs']>, config: TracesConfig, mark: Mark, signal: AbortSignal): Promise<void> {
    const collector = collectorOf(config);
    let spans: Span[] = [];
    let taken: { readonly id: string; readonly closedAt: number }[] = [];
    const flush = async (): Promise<void> => {
      for (let at = 0; at < spans.length; at += perRequest) await sendOrDrop(collector, spans.slice(at, at + perRequest), signal);
      mark.add(taken);
      [spans, taken] = [[], []];
    };
    for (const run of await runs.closed(mark.value.since - overlapMs)) {
      if (mark.has(run.runId)) continue;
      signal.throwIfAborted();
      spans.push(...(await runs.trace(run)));
      taken.push({ id: run.runId, closedAt: run.closedAt });
      if (spans.length >= perRequest) await flush();
    }
    await flush();
  }

  async function sendOrDrop(collector: Collector, spans: readonly Span[], signal: AbortSignal): Promise<void> {
    try {
      await sendSpans(collector, spans, deps.version, signal);
    } catch (error) {
      if (!isResurgoError(error, 'channelRefused') || !isHopeless(error.details['status'])) throw error;
      currentContext()?.log.warn(`${String(spans.length)} spans are dropped: ${error.message}`);
    }
  }
}

/** How far it is; runs are remembered as long as they may be listed again. */
class Mark {
  #since: number;
  readonly #sent = new Map<string, number>();

  constructor({ since, sent }: TraceMark) {
    this.#since = since;
    for (const id of sent) this.#sent.set(id, since);
  }

  get value(): TraceMark {
    return { since: this.#since, sent: [...this.#sent.keys()] };
  }

  has(runId: string): boolean {
    return this.#sent.has(short(runId));
  }

  add(runs: readonly { readonly id: string; readonly closedAt: number }[]): void {
    for (const { id, closedAt } of runs) {
      this.#sent.set(short(id), closedAt);
      this.#since = Math.max(this.#since, closedAt);
    }
    for (const [id, closedAt] of this.#sent) if (closedAt < this.#since - 2 * overlapMs) this.#sent.delete(id);
  }
}

/** Heartbeats are small. */
const short = (runId: string): string => runId.replaceAll('-', '').slice(0, 12);
