/** Many monitors in one activity: each has its own rhythm, a few look at a time, and what happens is told until it was heard. */
import { setTimeout as sleep } from 'node:timers/promises';
import { decideAlert, type Alert } from '../../domain/alert.ts';
import { startState, step, type MonitorEvent, type Observation, type Rule, type RuleState, type WatchReport } from '../../domain/monitor.ts';
import type { Notification } from '../../domain/notification.ts';
import { lookOf } from '../../config/monitor-looks.ts';
import { monitorType, rulesOfMonitor } from '../../config/monitor-rules.ts';
import type { MonitorConfig } from '../../config/schema-monitors.ts';
import { observe, unknown, type Look, type Seen } from '../../providers/monitors/observe.ts';
import { digest } from '../../providers/alerts/incident-id.ts';

export interface WatcherDeps {
  readonly host: string;
  readonly monitors: readonly MonitorConfig[];
  /** Hands an alert to its incident. @throws when Temporal does not take it */
  readonly submit: (alert: Alert) => Promise<void>;
  readonly tell: (notification: Notification) => Promise<void>;
  /** What was breached when the watcher before this one was last heard of: rule → time. */
  readonly fired: ReadonlyMap<string, number>;
  readonly signal: AbortSignal;
  /** Default: the real ones. */
  readonly look?: (look: Look, timeoutMs: number, signal: AbortSignal) => Promise<Seen>;
}

/** Looks at once; more wait a moment. */
const maxLooks = 16;

interface Watched {
  readonly monitor: MonitorConfig;
  readonly rules: { readonly rule: Rule; state: RuleState }[];
  /** What was not taken yet, oldest first. */
  readonly unsaid: (() => Promise<void>)[];
}

export class Watcher {
  private readonly deps: WatcherDeps;
  private readonly watched: Watched[];
  private looks = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(deps: WatcherDeps) {
    this.deps = deps;
    const now = Date.now();
    this.watched = deps.monitors.map((monitor) => ({ monitor, rules: rulesOfMonitor(monitor).map((rule) => ({ rule, state: startState(now, deps.fired.get(rule.id) ?? null) })), unsaid: [] }));
  }

  /** Until the signal. */
  async run(): Promise<void> {
    await Promise.all(this.watched.map((each, index) => this.watch(each, index)));
  }

  report(): WatchReport {
    const all = this.watched.flatMap((each) => each.rules);
    const others = all.filter(({ state }) => state.health !== 'healthy' || state.unknownTold);
    return {
      at: new Date().toISOString(), host: this.deps.host, rules: all.length, healthy: all.length - others.length,
      others: others.slice(0, 200).map(({ rule, state }) => ({
        rule: rule.id, health: state.health, since: new Date(state.since).toISOString(), value: state.value, threshold: state.threshold, detail: state.detail.slice(0, 200), firedAt: state.firedAt === null ? null : new Date(state.firedAt).toISOString(),
      })),
    };
  }

  private async watch(each: Watched, index: number): Promise<void> {
    const { signal } = this.deps;
    const { every } = each.monitor;
    try {
      // Spread over the first interval, at most five seconds.
      let next = performance.now() + (Math.min(every, 5000) * index) / Math.max(1, this.watched.length);
      for (;;) {
        await sleep(Math.max(0, next - performance.now()), undefined, { signal });
        next = Math.max(next + every, performance.now());
        const seen = await this.seen(each.monitor);
        signal.throwIfAborted();
        this.judge(each, { ...seen, at: Date.now() });
        await this.say(each);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  private async seen(monitor: MonitorConfig): Promise<Seen> {
    if (this.looks >= maxLooks) await new Promise<void>((resolve) => { this.waiting.push(resolve); });
    this.looks++;
    try {
      return await (this.deps.look ?? observe)(lookOf(monitor), monitor.timeout, this.deps.signal);
    } catch (error) {
      return unknown(error instanceof Error ? error.message : String(error));
    } finally {
      this.looks--;
      this.waiting.shift()?.();
    }
  }

  private judge(each: Watched, seen: Observation): void {
    for (const held of each.rules) {
      const before = held.state;
      const { state, event } = step(held.rule, before, seen);
      held.state = state;
      if (event !== undefined) each.unsaid.push(() => this.happened(each.monitor, held.rule, before, state, event, seen.at));
    }
  }

  /** In order; what Temporal does not take now is said at the next look. */
  private async say(each: Watched): Promise<void> {
    while (each.unsaid.length > 0) {
      try {
        await each.unsaid[0]?.();
        each.unsaid.shift();
      } catch {
        if (each.unsaid.length > 100) each.unsaid.splice(0, each.unsaid.length - 100);
        return;
      }
    }
  }

  private async happened(monitor: MonitorConfig, rule: Rule, before: RuleState, state: RuleState, event: MonitorEvent, at: number): Promise<void> {
    if (event === 'unknown' || event === 'observing') {
      const time = new Date(state.unknownSince ?? before.unknownSince ?? at).toISOString();
      await this.deps.tell({
        event: 'monitor', severity: 'medium',
        subject: event === 'unknown' ? `monitor ${rule.id} cannot observe: ${state.detail.slice(0, 150)}` : `monitor ${rule.id} observes again`,
        text: event === 'unknown' ? `Nothing is known of it since ${time}. It counts neither as healthy nor as broken.` : 'What it looks at could be observed again.',
        dedupeKey: `monitor/${rule.id}/${event}-${time}`, group: `resurgo/monitor/${rule.id}`, facts: { monitor: rule.id, host: this.deps.host, detail: state.detail.slice(0, 300) },
      });
      return;
    }
    const firedAt = event === 'firing' ? state.firedAt : before.firedAt;
    const alert = alertOf(monitor, rule, state, event === 'firing' ? 'firing' : 'resolved', firedAt === null ? null : new Date(firedAt).toISOString(), at);
    if (alert !== undefined) await this.deps.submit(alert);
  }
}

/** What a monitor tells its incident. The monitor's own settings are its rule. */
export function alertOf(monitor: MonitorConfig, rule: Rule, state: RuleState, status: 'firing' | 'resolved', startsAt: string | null, at: number): Alert | undefined {
  const identity = digest('monitor', rule.id).slice(0, 22);
  const threshold = state.threshold;
  return decideAlert(
    {
      key: `${identity}|${startsAt ?? `start ${String(at)}`}|${status}`, identity, status, name: rule.id,
      description: `${rule.metric}: ${state.detail}${state.value === null || threshold === null ? '' : ` (${String(Math.round(state.value * 1000) / 1000)}, threshold ${String(threshold)})`}`,
      labels: { monitor: monitor.name }, startsAt, ...(status === 'firing' && state.badSince !== null ? { since: new Date(state.badSince).toISOString() } : {}), severity: rule.severity, service: monitor.service ?? monitor.name, type: monitorType(monitor), tracks: true,
      conditions: [{ metric: `${rule.id} ${rule.metric}`, value: state.value, threshold }],
    },
    `monitor/${monitor.name}`,
    [{ plan: monitor.plan, plans: monitor.plans, target: monitor.target, approval: monitor.approval }],
  );
}
