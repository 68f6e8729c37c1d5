import type { OnProgress, ProgressReport } from '../domain/ports.ts';
import { ResurgoError } from '../domain/errors.ts';
import { currentContext, takePulse } from './failure-mapping.ts';

export interface Pulse {
  readonly signal: AbortSignal;
  readonly report: OnProgress;
}

/** How often the state is sent; the SDK thins this out further. */
const beatMs = 1000;
/** Bulk work that counts bytes and moves none for this long is taken for hung and aborted, so that it is tried again instead of running for ever. */
const stallMs = 30 * 60_000;

/**
 * Runs bulk work with heartbeats that carry its progress, until it ends, is cancelled, or moves nothing for {@link stallMs}.
 * Where there is no Temporal (rescue), `outside` gets the reports and says when to stop.
 */
export async function withPulse<T>(work: (pulse: Pulse) => Promise<T>, outside: { readonly onProgress?: OnProgress; readonly signal?: AbortSignal } = {}): Promise<T> {
  const context = currentContext();
  const rest = takePulse(context);
  let latest: ProgressReport = { phase: 'starting' };
  let movedAt = performance.now();
  const stalled = new AbortController();
  const signals = [stalled.signal];
  if (context !== undefined) signals.push(context.cancellationSignal);
  if (outside.signal !== undefined) signals.push(outside.signal);
  const timer = setInterval(() => {
    context?.heartbeat(latest);
    // Only where bytes are counted: a long CREATE INDEX of a restore moves none that we see.
    if (latest.doneBytes !== undefined && performance.now() - movedAt > stallMs) {
      stalled.abort(new ResurgoError('toolFailed', `no progress for ${String(stallMs / 60_000)} minutes in "${latest.phase}"`));
    }
  }, beatMs);
  context?.heartbeat(latest);
  try {
    return await work({
      signal: AbortSignal.any(signals),
      report: (next) => {
        if (next.phase !== latest.phase || next.doneBytes !== latest.doneBytes || next.note !== latest.note) movedAt = performance.now();
        latest = next;
        outside.onProgress?.(next);
      },
    });
  } catch (error) {
    if (stalled.signal.aborted) throw stalled.signal.reason as Error;
    throw error;
  } finally {
    clearInterval(timer);
    rest();
  }
}
