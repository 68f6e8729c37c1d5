/** A PostgreSQL cluster as failover sees it: what its members answered, and what may be concluded from that. Pure. */
import type { ErrorCode } from './errors.ts';
import { lsnDistance, parseLsn } from './lsn.ts';

/**
 * Why a member did not answer. `refused`: nobody listens, or the connection was cut; `timeout`: no answer in time; `starting`: a server that
 * recovers or shuts down; `denied`: it lives, but not for us; `error`: anything else.
 */
export type Silence = 'refused' | 'timeout' | 'starting' | 'denied' | 'error';

/** What a standby knows of the server it follows. */
export interface ReceiverState {
  readonly status: string;
  readonly senderHost: string | null;
  readonly senderPort: number | null;
  readonly slot: string | null;
  /** Since the primary was last heard from, milliseconds. */
  readonly silentMs: number | null;
}

/** Answer of one member to one question. */
export interface MemberState {
  readonly name: string;
  /** Null: it did not answer as a server should, see `silence`. */
  readonly role: 'primary' | 'standby' | null;
  readonly silence?: Silence;
  /** Words for people, of a member that did not answer. */
  readonly problem?: string;
  readonly systemId?: string;
  readonly timeline?: number;
  /** Flushed on a primary; on a standby the furthest that is received or replayed. */
  readonly lsn?: string;
  readonly replayedLsn?: string;
  /** Age of the last replayed transaction by the standby's clock; grows on an idle primary too. */
  readonly replayAgeMs?: number;
  readonly receiver?: ReceiverState;
  /** Where we asked. */
  readonly host?: string;
  readonly port?: number;
  /** Of a primary: who waits for whom. */
  readonly synchronousNames?: string;
  readonly version?: string;
}

/** All answers of the last round, and since when each member has been silent without a break. */
export interface ClusterView {
  readonly members: readonly MemberState[];
  /** Rounds of questions asked. */
  readonly rounds: number;
  /** From the first question to the last answer, milliseconds. */
  readonly observedMs: number;
  /** Rounds in which a member gave no answer, by name; only those that were silent to the end. */
  readonly silentRounds: Readonly<Record<string, number>>;
}

export interface Judgement {
  readonly primaries: readonly MemberState[];
  readonly standbys: readonly MemberState[];
  readonly silent: readonly MemberState[];
}

export const judge = (members: readonly MemberState[]): Judgement => ({
  primaries: members.filter((member) => member.role === 'primary'),
  standbys: members.filter((member) => member.role === 'standby'),
  silent: members.filter((member) => member.role === null),
});

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

const names = (members: readonly MemberState[]): string => members.map(({ name }) => name).join(', ');

/** What no operation on a cluster may be started upon: two primaries, two clusters. */
export function contradiction(view: ClusterView): Refusal | undefined {
  const { primaries, standbys } = judge(view.members);
  const systems = new Set(view.members.flatMap(({ systemId }) => systemId ?? []));
  if (systems.size > 1) return { code: 'sourceChanged', message: `the members are not one cluster: ${view.members.flatMap(({ name, systemId }) => (systemId === undefined ? [] : [`${name} is ${systemId}`])).join(', ')}` };
  if (primaries.length > 1) return { code: 'splitBrain', message: `two members say that they are the primary: ${primaries.map(({ name, timeline }) => `${name} (timeline ${String(timeline)})`).join(', ')}` };
  const [primary] = primaries;
  const ahead = standbys.filter((member) => primary?.timeline !== undefined && (member.timeline ?? 0) > primary.timeline);
  if (primary !== undefined && ahead.length > 0) return { code: 'splitBrain', message: `${primary.name} says that it is the primary on timeline ${String(primary.timeline)}, but ${names(ahead)} already follows timeline ${String(ahead[0]?.timeline)}: another primary was promoted` };
  return undefined;
}

/** A working primary is heard from more often than that when it has anything to send. */
const recentMs = 1500;

/**
 * Why an unplanned failover must not be done, or undefined.
 * A primary that answers is alive, and so is one that a standby heard from while we asked in vain: then it is we who are cut off.
 */
export function failoverRefusal(view: ClusterView, options: { readonly automatic: boolean; readonly hangTimeoutMs: number }): Refusal | undefined {
  const clash = contradiction(view);
  if (clash !== undefined) return clash;
  const { primaries, standbys, silent } = judge(view.members);
  const [primary] = primaries;
  if (primary !== undefined) return { code: 'primaryAlive', message: `${primary.name} answers as the primary (timeline ${String(primary.timeline)}, ${String(primary.lsn)})` };
  if (standbys.length === 0) return { code: 'noStandby', message: `no standby answers: ${silent.map(({ name, problem }) => `${name} (${problem ?? 'silent'})`).join(', ')}` };
  // A standby that follows another standby hears from that one, which proves nothing.
  const cascades = (receiver: ReceiverState): boolean => standbys.some(({ host, port }) => host === receiver.senderHost && port === receiver.senderPort);
  // What was under way when the primary died arrives a little later. A machine waits until no standby that is still connected can have heard from it:
  // one that hangs may go on, and one that refuses only us is heard rarely when it has nothing to send.
  const windowMs = options.automatic ? options.hangTimeoutMs : Math.min(view.observedMs, recentMs);
  const hears = standbys.find(({ receiver }) => receiver?.status === 'streaming' && receiver.silentMs !== null && receiver.silentMs < windowMs && !cascades(receiver));
  if (hears !== undefined) return { code: 'primaryAlive', message: `${hears.name} still receives from its primary (heard ${String(Math.round(hears.receiver?.silentMs ?? 0))} ms ago): it is alive, only not for this worker` };
  // Crash recovery may take long: a person may decide not to wait for it, a machine may not.
  const busy = silent.find(({ silence }) => (silence === 'starting' && options.automatic) || silence === 'denied');
  if (busy !== undefined) return { code: 'primaryAlive', message: `${busy.name} is up but does not take us: ${busy.problem ?? String(busy.silence)}` };
  return undefined;
}

/** The standby that has most of the old primary's WAL; of equals the one asked for, then the first of the configuration. */
export function freshest(standbys: readonly MemberState[], wish?: string): MemberState | undefined {
  return standbys.reduce<MemberState | undefined>((best, each) => {
    if (best === undefined) return each;
    if ((each.timeline ?? 0) !== (best.timeline ?? 0)) return (each.timeline ?? 0) > (best.timeline ?? 0) ? each : best;
    const difference = parseLsn(each.lsn ?? '0/0') - parseLsn(best.lsn ?? '0/0');
    return difference > 0n || (difference === 0n && each.name === wish) ? each : best;
  }, undefined);
}

/** Bytes that `behind` lacks of `ahead`; 0 when it lacks none. */
export const bytesBehind = (ahead: string, behind: string): number => Math.max(0, lsnDistance(behind, ahead));
