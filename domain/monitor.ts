/** When a monitor says that something is wrong: thresholds, windows, durations, hysteresis. Pure: the caller brings observations and time. */
import type { ClusterReport } from './replication.ts';
import type { Severity } from './severity.ts';

export interface Observation {
  readonly at: number;
  /** `unknown`: nothing could be observed, which is neither good nor bad. */
  readonly state: 'ok' | 'bad' | 'unknown';
  readonly value: number | null;
  /** What the value is compared with, where the observed thing says so itself (tasks wanted). */
  readonly threshold?: number;
  readonly detail: string;
  /** Planned work is under way: begins no breach and ends none. */
  readonly working?: boolean;
}

export interface Rule {
  /** Unique: `<monitor>` or `<monitor>/<rule>`. */
  readonly id: string;
  readonly metric: string;
  readonly severity: Severity;
  /** Whether `bad` observations count; a rule that only looks at values leaves them to others. */
  readonly states: boolean;
  readonly above?: number;
  readonly below?: number;
  /** Value at which it is over; default the threshold. */
  readonly clear?: number;
  /** Values are averaged over this long. */
  readonly windowMs?: number;
  /** It has to be wrong for this long … */
  readonly forMs?: number;
  /** … and so many times in a row. */
  readonly failures: number;
  /** It is over after so many good observations in a row. */
  readonly recoveries: number;
  /** Nothing observed for this long is told. */
  readonly unknownAfterMs: number;
}

export type Health = 'starting' | 'healthy' | 'suspect' | 'breached' | 'unknown';

export interface RuleState {
  readonly health: Health;
  readonly since: number;
  readonly value: number | null;
  readonly threshold: number | null;
  readonly detail: string;
  readonly badSince: number | null;
  readonly bad: number;
  readonly good: number;
  readonly unknownSince: number | null;
  readonly unknownTold: boolean;
  readonly firedAt: number | null;
  /** Neither well nor breached yet: what the watch before left open is not known here. */
  readonly fresh: boolean;
  /** Newest last; only with a window. */
  readonly samples: readonly { readonly at: number; readonly value: number }[];
}

export type MonitorEvent = 'firing' | 'resolved' | 'unknown' | 'observing' | 'started healthy';

export const startState = (now: number, firedAt: number | null = null): RuleState => ({
  health: firedAt === null ? 'starting' : 'breached', since: now, value: null, threshold: null, detail: '', badSince: firedAt, bad: 0, good: 0, unknownSince: null, unknownTold: false, firedAt, fresh: firedAt === null, samples: [],
});

/** The state after one observation, and what happened by it. */
export function step(rule: Rule, state: RuleState, seen: Observation): { readonly state: RuleState; readonly event?: MonitorEvent } {
  // A rule about a value learns nothing from an answer that did not come; that it did not come is told by the rule about that.
  if (seen.state === 'unknown' || (!rule.states && seen.value === null)) return unobserved(rule, state, seen);
  const samples = rule.windowMs === undefined || seen.value === null ? [] : [...state.samples, { at: seen.at, value: seen.value }].filter((sample) => seen.at - sample.at <= (rule.windowMs ?? 0)).slice(-1000);
  const value = samples.length === 0 ? seen.value : samples.reduce((sum, sample) => sum + sample.value, 0) / samples.length;
  const threshold = rule.above ?? rule.below ?? seen.threshold ?? null;
  const wrong = (rule.states && seen.state === 'bad') || crossed(rule, value);
  const well = seen.working !== true && !(rule.states && seen.state === 'bad') && cleared(rule, value);
  const base = { ...state, value, threshold, detail: seen.detail, samples, unknownSince: null, unknownTold: false };
  const observing = state.unknownTold ? ({ event: 'observing' } as const) : {};
  if (state.firedAt !== null) {
    const good = well ? state.good + 1 : 0;
    if (good < rule.recoveries) return { state: { ...base, health: 'breached', good }, ...observing };
    return { state: { ...base, health: 'healthy', since: seen.at, good: 0, bad: 0, badSince: null, firedAt: null }, event: 'resolved' };
  }
  if (!wrong) {
    // Between the thresholds nothing begins, and nothing that only began goes on.
    // Said at the first good look, whatever was seen before it: an incident that an earlier watch opened ends by it.
    const started = state.fresh && well && !state.unknownTold;
    return { state: { ...base, fresh: state.fresh && !started, health: 'healthy', since: state.health === 'healthy' ? state.since : seen.at, good: 0, bad: 0, badSince: null }, ...(started ? ({ event: 'started healthy' } as const) : observing) };
  }
  const bad = state.bad + 1;
  const badSince = state.badSince ?? seen.at;
  if (bad >= rule.failures && seen.at - badSince >= (rule.forMs ?? 0)) return { state: { ...base, health: 'breached', since: seen.at, bad, badSince, good: 0, firedAt: seen.at, fresh: false }, event: 'firing' };
  return { state: { ...base, health: 'suspect', since: state.health === 'suspect' ? state.since : seen.at, bad, badSince }, ...observing };
}

/** What was breached stays so: blindness is no recovery. And it is no breach. */
function unobserved(rule: Rule, state: RuleState, seen: Observation): { readonly state: RuleState; readonly event?: MonitorEvent } {
  const unknownSince = state.unknownSince ?? seen.at;
  const health: Health = state.firedAt === null ? 'unknown' : 'breached';
  const next = { ...state, health, since: state.health === health ? state.since : seen.at, detail: seen.detail, unknownSince, good: 0, bad: state.firedAt === null ? 0 : state.bad, badSince: state.firedAt === null ? null : state.badSince };
  if (state.unknownTold || seen.state !== 'unknown' || seen.at - unknownSince < rule.unknownAfterMs) return { state: next };
  return { state: { ...next, unknownTold: true }, event: 'unknown' };
}

const crossed = (rule: Rule, value: number | null): boolean => value !== null && ((rule.above !== undefined && value > rule.above) || (rule.below !== undefined && value < rule.below));

function cleared(rule: Rule, value: number | null): boolean {
  if (rule.above === undefined && rule.below === undefined) return true;
  if (value === null) return false;
  return !(rule.above !== undefined && value > Math.min(rule.clear ?? rule.above, rule.above)) && !(rule.below !== undefined && value < Math.max(rule.clear ?? rule.below, rule.below));
}

/** What `resurgo monitor status` and the board read from the heartbeat: everything that is not healthy, and how much is. */
export interface WatchReport {
  readonly at: string;
  readonly host: string;
  readonly rules: number;
  readonly healthy: number;
  /** Clusters whose replication is watched beside the monitors. */
  readonly clusters?: readonly ClusterReport[];
  readonly others: readonly { readonly rule: string; readonly health: Health; readonly since: string; readonly value: number | null; readonly threshold: number | null; readonly detail: string; readonly firedAt: string | null }[];
}
