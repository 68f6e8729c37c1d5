/** Replication of a cluster as its watch sees it: how far a standby is behind, what is wrong with it, and what is done about it. Pure. */
import type { ClusterView, MemberState, Refusal } from './cluster.ts';
import { bytesBehind, failoverRefusal, judge } from './cluster.ts';
import { parseLsn } from './lsn.ts';

/** Where the primary was, by the watch's own clock. */
export type LagSample = readonly [at: number, lsn: string];

const maxSamples = 240;

/** With one more; the older the fewer are kept. */
export function addSample(samples: readonly LagSample[], sample: LagSample): LagSample[] {
  const last = samples.at(-1);
  // Nothing was written: the standby that has it is up to date since then, and one that has not is behind since then.
  if (last !== undefined && parseLsn(sample[1]) <= parseLsn(last[1])) return parseLsn(sample[1]) < parseLsn(last[1]) ? [sample] : [...samples];
  const all = [...samples, sample];
  return all.length <= maxSamples ? all : all.filter((_, i) => i >= all.length / 2 || i % 2 === 0);
}

/**
 * For how long the primary has had what the standby lacks, ms. The clocks of servers are compared with nobody's: between two samples of the primary
 * the age of the last replayed transaction decides, which on a quiet primary alone would look far too old.
 */
export function lagMs(samples: readonly LagSample[], replayed: string, now: number, replayAgeMs?: number): number {
  const position = parseLsn(replayed);
  const next = samples.findIndex(([, lsn]) => parseLsn(lsn) > position);
  const at = samples[next]?.[0];
  if (at === undefined) return 0;
  const atLeast = Math.max(0, now - at);
  const before = samples[next - 1]?.[0];
  return before === undefined || replayAgeMs === undefined ? atLeast : Math.max(atLeast, Math.min(replayAgeMs, now - before));
}

/** What the primary tells of those who follow it. */
export interface SenderFacts {
  /** `application_name`, the member's name where Resurgo made the standby. */
  readonly name: string;
  readonly state: string;
  readonly replayed: string | null;
  readonly sync: string;
  readonly slot: string | null;
}

export interface SlotFacts {
  readonly name: string;
  readonly active: boolean;
  /** `reserved`, `extended`, `unreserved`, `lost`. */
  readonly status: string | null;
  /** WAL it holds, bytes. */
  readonly retainedBytes: number | null;
}

export interface StandbyReport {
  readonly name: string;
  /** `streaming`; `detached`: it answers and receives nothing; `silent`: it does not answer, and receives nothing as far as is known. */
  readonly state: 'streaming' | 'detached' | 'silent';
  readonly lagBytes: number | null;
  readonly lagMs: number | null;
  readonly synchronous: boolean;
  readonly slot: SlotFacts | null;
  readonly detail: string;
}

export interface WatchedMember {
  readonly name: string;
  readonly slot: string;
}

/** The standbys of a primary that answers. */
export function standbyReports(members: readonly MemberState[], known: readonly WatchedMember[], facts: { readonly senders: readonly SenderFacts[]; readonly slots: readonly SlotFacts[] }, samples: readonly LagSample[], now: number): StandbyReport[] {
  const [primary] = judge(members).primaries;
  return known.filter(({ name }) => name !== primary?.name).map(({ name, slot: usual }) => {
    const its = members.find((member) => member.name === name);
    const slotName = its?.receiver?.slot ?? usual;
    const slot = facts.slots.find((each) => each.name === slotName) ?? null;
    const sender = facts.senders.find((each) => each.name === name || each.slot === slotName);
    const receives = its?.receiver?.status === 'streaming' && its.timeline === primary?.timeline;
    const state = receives || sender?.state === 'streaming' || sender?.state === 'catchup' ? 'streaming' : its?.role === 'standby' ? 'detached' : 'silent';
    const replayed = its?.role === 'standby' ? its.replayedLsn : (sender?.replayed ?? undefined);
    // On another timeline numbers compare nothing.
    const comparable = replayed !== undefined && primary?.lsn !== undefined && (its?.timeline === undefined || its.timeline === primary.timeline);
    const detail = state === 'streaming' ? (its?.role === 'standby' ? 'streams' : `streams, but does not answer here: ${its?.problem ?? 'silent'}`)
      : state === 'detached' ? `receives nothing (timeline ${String(its?.timeline)})` : (its?.role === 'primary' ? 'says that it is a primary' : (its?.problem ?? 'does not answer'));
    return {
      name, state, slot, synchronous: sender?.sync === 'sync' || sender?.sync === 'quorum',
      lagBytes: comparable ? bytesBehind(primary.lsn, replayed) : null,
      lagMs: comparable ? lagMs(samples, replayed, now, its?.replayAgeMs) : null,
      detail: slot?.status === 'lost' ? `${detail}; its slot was given up by the primary, it lacks WAL for good` : detail,
    };
  });
}

export interface ReplicationLimits {
  readonly maxLagMs: number;
  readonly criticalLagMs: number;
  readonly maxLagBytes: number | null;
  readonly criticalLagBytes: number | null;
}

const beyond = (report: StandbyReport, ms: number, bytes: number | null): boolean => (report.lagMs ?? 0) > ms || (bytes !== null && (report.lagBytes ?? 0) > bytes);
export const isCritical = (report: StandbyReport, limits: ReplicationLimits): boolean => beyond(report, limits.criticalLagMs, limits.criticalLagBytes);
export const isHealthy = (report: StandbyReport, limits: ReplicationLimits): boolean => report.state === 'streaming' && !beyond(report, limits.maxLagMs, limits.maxLagBytes);

/** What the watch remembers of a standby's repair. */
export interface RepairFacts {
  readonly by: 'reattach' | 'rebuild';
  readonly at: number;
  readonly run: string;
  /** Null while it is at work. */
  readonly outcome: string | null;
  readonly ok: boolean | null;
  /** When it was last rebuilt, whatever came after. */
  readonly rebuiltAt: number | null;
}

export interface RepairChoice {
  readonly member: string;
  readonly by: 'reattach' | 'rebuild';
  readonly why: string;
}

export interface RepairScene {
  readonly reports: readonly StandbyReport[];
  readonly limits: ReplicationLimits;
  readonly now: number;
  readonly enabled: boolean;
  /** Something is at work on this cluster's members. */
  readonly busy: boolean;
  /** Since when a standby does not stream. */
  readonly lostSince: Readonly<Record<string, number>>;
  /** Since when a standby has been above the critical limit, look after look; at least two. */
  readonly criticalLooks: Readonly<Record<string, number>>;
  readonly lostAfterMs: number;
  readonly cooldownMs: number;
  readonly repairs: Readonly<Record<string, RepairFacts>>;
  /** Members the watch must not touch: without a place it can work on, or fenced old primaries. */
  readonly untouchable: readonly string[];
}

/**
 * One repair, or the reason why there is none although one is due. A lost standby is started again first: that costs nothing. One that answers is
 * replaced only while another healthy one remains; one that does not answer can be promoted by nobody, so nothing is lost by replacing it.
 */
export function chooseRepair(scene: RepairScene): RepairChoice | { readonly member: string; readonly refused: string } | undefined {
  const { reports, limits, now } = scene;
  const due = reports.filter((report) => now - (scene.lostSince[report.name] ?? Infinity) >= scene.lostAfterMs || (scene.criticalLooks[report.name] ?? 0) >= 2);
  const [first] = due;
  if (first === undefined) return undefined;
  if (!scene.enabled) return { member: first.name, refused: 'replication.rebuild is off' };
  if (scene.busy) return { member: first.name, refused: 'another repair, failover or switchover of this cluster is at work' };
  let refused: { member: string; refused: string } | undefined;
  for (const report of due) {
    const { name } = report;
    const last = scene.repairs[name];
    if (scene.untouchable.includes(name)) { refused ??= { member: name, refused: 'its host and dataDir are not in the configuration' }; continue; }
    const lost = report.state !== 'streaming';
    const gone = report.slot?.status === 'lost';
    const reattached = last?.by === 'reattach' && last.at >= (scene.lostSince[name] ?? 0);
    const cooling = last?.rebuiltAt != null && now - last.rebuiltAt < scene.cooldownMs;
    const inVain = last?.by === 'rebuild' && last.ok === false && cooling;
    if (lost && !gone && !reattached && !inVain) return { member: name, by: 'reattach', why: report.detail };
    if (cooling) { refused ??= { member: name, refused: `it was rebuilt ${String(Math.round((now - last.rebuiltAt) / 1000))} s ago${last.ok === false ? `, in vain: ${last.outcome ?? ''}` : ''}` }; continue; }
    const others = reports.filter((other) => other.name !== name && isHealthy(other, limits));
    if (report.state !== 'silent' && others.length === 0) { refused ??= { member: name, refused: 'it is the last standby that could be promoted: it is kept' }; continue; }
    return { member: name, by: 'rebuild', why: lost ? `${report.detail}${reattached ? `; starting it again was in vain${last.outcome === null ? '' : `: ${last.outcome}`}` : ''}` : `it is ${String(Math.round((report.lagMs ?? 0) / 1000))} s and ${String(report.lagBytes)} bytes behind` };
  }
  return refused;
}

/** How many standbys a commit waits for, and which take part, by the primary's last word. */
export interface Acknowledgement {
  readonly need: number;
  readonly names: readonly string[];
}

/** `synchronous_standby_names`: `FIRST 2 (a, b)`, `ANY 1 (a, b)`, `2 (a, b)`, `a, b`. Null: nobody is waited for. */
export function parseSynchronous(setting: string): Acknowledgement | null {
  const match = /^\s*(?:(?:first|any)\s+)?(\d+)\s*\((.*)\)\s*$/is.exec(setting);
  const list = match?.[2] ?? setting;
  const names = list.split(',').map((name) => name.trim().replace(/^"(.*)"$/s, '$1').replaceAll('""', '"')).filter((name) => name !== '');
  return names.length === 0 ? null : { need: Number(match?.[1] ?? 1), names };
}

/**
 * Why a machine must not fail over, beyond {@link failoverRefusal}: what was acknowledged may be only on standbys that do not answer. A commit is
 * on at least `need` of the synchronous ones; so many may be silent that none of them is left.
 */
export function automaticRefusal(view: ClusterView, options: { readonly hangTimeoutMs: number; readonly primary: string | null; readonly synchronous: Acknowledgement | null }): Refusal | undefined {
  const refusal = failoverRefusal(view, { automatic: true, hangTimeoutMs: options.hangTimeoutMs });
  if (refusal !== undefined || options.synchronous === null) return refusal;
  const silent = judge(view.members).silent.filter(({ name }) => name !== options.primary);
  if (silent.length < options.synchronous.need) return undefined;
  return { code: 'noStandby', message: `what was acknowledged may be only on ${silent.map(({ name }) => name).join(', ')}, which does not answer either (synchronous_standby_names)` };
}

/** What the heartbeat of the watch carries of one cluster: for status, board and metrics, and for the watch that follows. */
export interface ClusterReport {
  readonly target: string;
  readonly at: string;
  readonly primary: string | null;
  readonly timeline: number | null;
  /** `stopped`: two primaries are suspected, nothing is done; `unknown`: not looked at yet. */
  readonly state: 'ok' | 'degraded' | 'suspected' | 'failing over' | 'no primary' | 'stopped' | 'unknown';
  readonly detail: string;
  readonly automatic: boolean;
  readonly standbys: readonly StandbyReport[];
  /** Rules that are breached, and since when. */
  readonly fired: Readonly<Record<string, number>>;
  readonly samples: readonly LagSample[];
  readonly repairs: Readonly<Record<string, RepairFacts>>;
  readonly failover: { readonly run: string; readonly at: number; readonly outcome: string | null } | null;
}
