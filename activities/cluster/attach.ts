import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttachWay } from '../../domain/attach.ts';
import { settingIn } from '../../domain/auto-conf.ts';
import { contradiction, judge } from '../../domain/cluster.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { runHook } from '../../providers/host/hooks.ts';
import { cloneStandby, dropReplaced } from '../../providers/postgres/clone-standby.ts';
import { clusterProcesses } from '../../providers/postgres/cluster-processes.ts';
import { readControlFile } from '../../providers/postgres/control-file.ts';
import { blockStart, liftBlock, readFenceMark } from '../../providers/postgres/fence-block.ts';
import { ensureSlot, primaryConninfo, repoint, standbySettings } from '../../providers/postgres/follow.ts';
import { dropIdleSlot } from '../../providers/postgres/replication-facts.ts';
import { probeMember } from '../../providers/postgres/member-probe.ts';
import { rewindStandby } from '../../providers/postgres/rewind.ts';
import { startServer, stopServer } from '../../providers/postgres/server-control.ts';
import { configureStandby, type StandbyConfig } from '../../providers/postgres/standby-config.ts';
import type { ActivityDeps } from '../deps.ts';
import { withPulse, type Pulse } from '../heartbeat.ts';
import { slotName } from '../../providers/wal/slots.ts';
import { claimMember } from './epoch.ts';
import { clusterOf, type Cluster, type ClusterMember } from './members.ts';
import { askAll } from './observe.ts';

export interface AttachStep {
  readonly target: string;
  readonly member: string;
  readonly by: AttachWay;
  readonly run: string;
  readonly epoch: number;
}

interface Place {
  readonly cluster: Cluster;
  readonly member: ClusterMember;
  readonly dataDir: string;
}

function placeOf(deps: ActivityDeps, { target, member: name }: Pick<AttachStep, 'target' | 'member'>): Place {
  const cluster = clusterOf(deps, target);
  const member = cluster.member(name);
  if (member.dataDir === undefined) throw new ResurgoError('configInvalid', `member ${name} of ${target} has no dataDir`, { details: { hint: `Add dataDir (and host) to targets.${target}.members.` } });
  return { cluster, member, dataDir: member.dataDir };
}

/** The one primary there is, found anew each time. @throws splitBrain, noStandby */
async function primaryOf(cluster: Cluster, except: string, signal: AbortSignal): Promise<{ member: ClusterMember; timeline: number; major: number }> {
  const members = await askAll(cluster, { signal });
  const clash = contradiction({ members: members.filter(({ name }) => name !== except), rounds: 1, observedMs: 0, silentRounds: {} });
  if (clash !== undefined) throw new ResurgoError(clash.code, clash.message);
  const [primary] = judge(members).primaries;
  if (primary?.timeline === undefined) throw new ResurgoError('sourceUnreachable', `no member of ${cluster.name} answers as the primary`);
  if (primary.name === except) throw new ResurgoError('primaryAlive', `${except} is the primary of ${cluster.name}: it is not replaced`, { details: { hint: 'Switch over to another member first.' } });
  return { member: cluster.member(primary.name), timeline: primary.timeline, major: Number.parseInt(primary.version ?? '0', 10) };
}

/** What would stand in the way, before anything is touched. Effect: none. @throws the reason */
export async function checkAttach(deps: ActivityDeps, input: AttachStep): Promise<{ primary: string; timeline: number; attached: boolean; note: string }> {
  const { cluster, member, dataDir } = placeOf(deps, input);
  return withPulse(async ({ signal }) => {
    const primary = await primaryOf(cluster, member.name, signal);
    const now = await probeMember(member.name, member.connection(), { timeoutMs: cluster.settings.timeout, signal });
    const attached = now.role === 'standby' && now.receiver?.status === 'streaming' && now.timeline === primary.timeline;
    const content = await readdir(dataDir).catch((): string[] => []);
    if (input.by === 'build' && content.length > 0 && !attached) throw new ResurgoError('destinationNotEmpty', `${dataDir} of ${member.name} is not empty`, { details: { hint: 'Use `resurgo standby rebuild` for a standby, `resurgo rejoin` for an old primary.' } });
    if (content.length > 0) {
      const { state, systemId } = await readControlFile(dataDir);
      const its = (await probeMember(primary.member.name, primary.member.connection(), { timeoutMs: cluster.settings.timeout, signal })).systemId;
      if (its !== undefined && systemId !== its) throw new ResurgoError('sourceChanged', `${dataDir} of ${member.name} belongs to another database system (${systemId}) than the primary (${its})`, { details: { hint: 'Move it away yourself, then build the standby.' } });
      if ((input.by === 'rebuild' || input.by === 'reattach') && state !== 'inArchiveRecovery' && state !== 'shutDownInRecovery')
        throw new ResurgoError('destinationNotEmpty', `${dataDir} of ${member.name} was a primary (it is ${state}): it may hold what nobody else has, and is not rebuilt over`, { details: { hint: `resurgo rejoin ${input.target} ${member.name} --by rewind|clone|keep` } });
      const mark = input.by === 'reattach' ? await readFenceMark(dataDir) : undefined;
      if (mark !== undefined) throw new ResurgoError('destinationNotEmpty', `${member.name} was fenced (${mark.why}): it is not simply started`, { details: { hint: `resurgo rejoin ${input.target} ${member.name} --by rewind|clone|keep` } });
    } else if (input.by === 'rewind' || input.by === 'keep' || input.by === 'reattach') {
      throw new ResurgoError('rewindRefused', `${dataDir} of ${member.name} is empty: there is nothing to ${input.by}`, { details: { hint: `resurgo standby build ${input.target} ${member.name}` } });
    }
    return { primary: primary.member.name, timeline: primary.timeline, attached, note: attached ? `${member.name} already streams from ${primary.member.name}` : `${primary.member.name} is the primary, timeline ${String(primary.timeline)}` };
  }, deps);
}

const standbyConfig = ({ member, primary }: { member: ClusterMember; primary: ClusterMember }): StandbyConfig => ({
  conninfo: primaryConninfo(primary.connection(), primary.address(), member.name),
  slot: member.slot,
  ...(member.connection().port === primary.connection().port ? {} : { port: member.connection().port }),
});

/** Effect: the member's server is down, by its own stop command or pg_ctl. Idempotency: down already is success. @throws hookFailed, toolFailed */
export async function stopMember(deps: ActivityDeps, input: AttachStep): Promise<string> {
  const { cluster, member, dataDir } = placeOf(deps, input);
  const stillOurs = await claimMember(deps.loaded.stateDir, input.target, member.name, input.epoch);
  return withPulse(async (pulse) => {
    const primary = await primaryOf(cluster, member.name, pulse.signal);
    await stillOurs();
    if (input.by === 'reattach') {
      const now = await probeMember(member.name, member.connection(), { timeoutMs: cluster.settings.timeout, signal: pulse.signal });
      if (now.role === 'standby' || now.silence === 'starting') return `${member.name} runs and is not stopped`;
    }
    await stopAt(cluster, member, dataDir, input.run, pulse, input.by === 'rebuild' || input.by === 'reattach');
    return `${member.name} is down; ${primary.member.name} is the primary`;
  }, deps);
}

/** @param hard a standby that hangs is killed: it recovers by itself, or is to be replaced anyway */
async function stopAt(cluster: Cluster, member: ClusterMember, dataDir: string, run: string, { signal, report }: Pulse, hard = false): Promise<void> {
  if ((await clusterProcesses(dataDir)).length === 0) return;
  report({ phase: `stop ${member.name}` });
  const { service } = member.config;
  try {
    if (service?.stop !== undefined) await runHook({ name: `stop ${member.name}`, command: service.stop, timeoutMs: service.timeout, signal, env: { RESURGO_TARGET: cluster.name, RESURGO_MEMBER: member.name, RESURGO_RUN: run } });
    await stopServer({ dataDir, toolDirs: cluster.toolsDirs, timeoutMs: hard ? 30_000 : 10 * 60_000, signal });
  } catch (error) {
    if (!hard || signal.aborted) throw error;
    for (const until = performance.now() + 30_000; ; ) {
      const running = await clusterProcesses(dataDir);
      if (running.length === 0) return;
      if (performance.now() > until) throw error;
      for (const { pid } of running) killHard(pid);
      await sleep(50, undefined, { signal });
    }
  }
}

const killHard = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already, or not ours: the loop sees.
  }
};

/**
 * Effect: the stopped member's data is that of a standby of the primary. Idempotency: again it goes on, or begins anew. Heartbeat: bytes copied.
 * @throws rewindRefused, replicationFailed, destinationNotEmpty, fenced
 */
export async function refitMember(deps: ActivityDeps, input: AttachStep): Promise<{ kept: string | null; detail: string }> {
  const { cluster, member, dataDir } = placeOf(deps, input);
  const stillOurs = await claimMember(deps.loaded.stateDir, input.target, member.name, input.epoch);
  return withPulse(async ({ signal, report }) => {
    const primary = await primaryOf(cluster, member.name, signal);
    const config = standbyConfig({ member, primary: primary.member });
    await ensureSlot(primary.member.connection(), member.slot, signal);
    await stillOurs();
    const before = await slotOf(member, dataDir, signal);
    const leave = async (): Promise<void> => {
      // The slot it had under another name would hold WAL on the primary for ever.
      if (before === undefined || before === '' || before === member.slot) return;
      for (let tries = 0; tries < 20 && !(await dropIdleSlot(primary.member.connection(), before, signal).catch(() => false)); tries++) await sleep(500, undefined, { signal });
    };
    const common = { primary: primary.member.connection(), upstream: primary.member.address(), dataDir, run: input.run, config, toolDirs: cluster.toolsDirs, signal, report };
    if (input.by === 'reattach') {
      if ((await clusterProcesses(dataDir)).length === 0) await configureStandby(dataDir, config);
      else await repoint(member.connection(), config.conninfo, config.slot, signal);
      await leave();
      return { kept: null, detail: `${member.name} follows ${primary.member.name}` };
    }
    if (input.by === 'rewind') {
      const words = await rewindStandby({ ...common, epoch: input.epoch, journal: join(deps.loaded.stateDir, 'clusters', `${input.target}.${member.name}.rewind.json`) });
      return { kept: null, detail: `${words}, from ${primary.member.name}` };
    }
    const kept = await cloneStandby({ ...common, major: primary.major, checkpoint: 'fast', existing: input.by === 'build' ? 'refuse' : input.by === 'keep' ? 'keep' : 'replace', stillOurs });
    await leave();
    return { kept: kept ?? null, detail: kept === undefined ? `copied from ${primary.member.name}` : `copied from ${primary.member.name}; the old data is kept in ${kept}` };
  }, deps);
}

/** The slot a member used until now, whether it runs or not. */
async function slotOf(member: ClusterMember, dataDir: string, signal: AbortSignal): Promise<string | undefined> {
  if ((await clusterProcesses(dataDir)).length > 0) return standbySettings(member.connection(), signal).then(({ slot }) => slot, () => undefined);
  return settingIn(await readFile(join(dataDir, 'postgresql.auto.conf'), 'utf8').catch(() => ''), 'primary_slot_name');
}

/** Effect: the member's server runs. Idempotency: running already is success. @throws hookFailed, replicationFailed */
export async function startMember(deps: ActivityDeps, input: AttachStep): Promise<string> {
  const { cluster, member, dataDir } = placeOf(deps, input);
  const stillOurs = await claimMember(deps.loaded.stateDir, input.target, member.name, input.epoch);
  return withPulse(async ({ signal, report }) => {
    report({ phase: `start ${member.name}` });
    await stillOurs();
    const { service } = member.config;
    if (service?.start !== undefined) await runHook({ name: `start ${member.name}`, command: service.start, timeoutMs: service.timeout, signal, env: { RESURGO_TARGET: cluster.name, RESURGO_MEMBER: member.name, RESURGO_RUN: input.run } });
    else await startServer({ dataDir, toolDirs: cluster.toolsDirs, timeoutMs: 10 * 60_000, signal });
    return `${member.name} is started`;
  }, deps);
}

/** Waits until the member streams from the primary on its timeline, then drops what it replaced. @throws replicationFailed */
export async function awaitStreaming(deps: ActivityDeps, input: AttachStep): Promise<{ primary: string; timeline: number; detail: string }> {
  const { cluster, member, dataDir } = placeOf(deps, input);
  return withPulse(async ({ signal, report }) => {
    for (const until = performance.now() + (input.by === 'reattach' ? 45_000 : 120_000); ; ) {
      const primary = await primaryOf(cluster, member.name, signal);
      const now = await probeMember(member.name, member.connection(), { timeoutMs: cluster.settings.timeout, signal });
      report({ phase: `wait until ${member.name} streams`, note: now.problem ?? now.receiver?.status ?? 'no receiver' });
      if (now.role === 'standby' && now.receiver?.status === 'streaming' && now.timeline === primary.timeline) {
        await dropReplaced(dataDir, input.run);
        return { primary: primary.member.name, timeline: primary.timeline, detail: `streams from ${primary.member.name} on timeline ${String(primary.timeline)}` };
      }
      if (performance.now() > until) throw new ResurgoError('replicationFailed', `${member.name} does not stream from ${primary.member.name}: ${now.problem ?? (now.role === 'primary' ? 'it is a primary' : `receiver ${now.receiver?.status ?? 'is not there'}, timeline ${String(now.timeline)}`)}`, { details: { hint: `Its log says why (${dataDir}); with --by clone it gets a fresh copy.` } });
      await sleep(250, undefined, { signal });
    }
  }, deps);
}

/** Effect: the primary is stopped cleanly and blocked; its last WAL has been shipped by its senders. Idempotency: down already is success. @throws toolFailed, hookFailed */
export async function retirePrimary(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly run: string; readonly epoch: number }): Promise<{ checkpoint: string }> {
  const { cluster, member, dataDir } = placeOf(deps, input);
  const stillOurs = await claimMember(deps.loaded.stateDir, input.target, member.name, input.epoch);
  return withPulse(async (pulse) => {
    await stillOurs();
    // Blocked first: a supervisor that starts it again in between gets nothing that takes writes.
    await blockStart(dataDir, { run: input.run, epoch: input.epoch, at: new Date().toISOString(), why: `switchover ${input.run}` });
    await stopAt(cluster, member, dataDir, input.run, pulse);
    const { state } = await readControlFile(dataDir);
    if (state !== 'shutDown') throw new ResurgoError('toolFailed', `${member.name} was not shut down cleanly (it is ${state})`);
    const { checkpointOf } = await import('../../providers/postgres/shutdown-checkpoint.ts');
    return { checkpoint: await checkpointOf(dataDir, cluster.toolsDirs) };
  }, deps);
}

/** Effect: the old primary runs as it did. Idempotency: again is the same. */
export async function reinstatePrimary(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly run: string; readonly epoch: number }): Promise<string> {
  const { dataDir } = placeOf(deps, input);
  await claimMember(deps.loaded.stateDir, input.target, input.member, input.epoch);
  await liftBlock(dataDir, { asStandby: false });
  return startMember(deps, { ...input, by: 'rewind' });
}

/** Effect: the cleanly stopped old primary starts as a standby of the new one. Idempotency: again is the same. */
export async function demoteMember(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly run: string; readonly epoch: number }): Promise<string> {
  const { cluster, member, dataDir } = placeOf(deps, input);
  await claimMember(deps.loaded.stateDir, input.target, member.name, input.epoch);
  return withPulse(async ({ signal }) => {
    const primary = await primaryOf(cluster, member.name, signal);
    await ensureSlot(primary.member.connection(), member.slot, signal);
    if ((await clusterProcesses(dataDir)).length === 0) {
      await liftBlock(dataDir, { asStandby: true });
      await configureStandby(dataDir, standbyConfig({ member, primary: primary.member }));
    }
    await startMember(deps, { ...input, by: 'rewind' });
    const { detail } = await awaitStreaming(deps, { ...input, by: 'rewind' });
    // The slots it kept for those who followed it would hold its WAL for ever; one that somebody streams through stays.
    for (const other of cluster.members) if (other.name !== member.name && other.slot !== slotName(input.target)) await dropIdleSlot(member.connection(), other.slot, signal).catch(() => false);
    return detail;
  }, deps);
}

/** Whether the standby has the whole WAL of the stopped primary, its last checkpoint included. @throws noStandby after a while */
export async function awaitEverything(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly checkpoint: string }): Promise<string> {
  const { cluster, member } = { cluster: clusterOf(deps, input.target), member: clusterOf(deps, input.target).member(input.member) };
  const { lsnDistance } = await import('../../domain/lsn.ts');
  return withPulse(async ({ signal }) => {
    for (const until = performance.now() + 60_000; ; ) {
      const now = await probeMember(member.name, member.connection(), { timeoutMs: cluster.settings.timeout, signal });
      if (now.role === 'standby' && now.lsn !== undefined && lsnDistance(input.checkpoint, now.lsn) > 0) return `${member.name} has everything up to ${now.lsn}`;
      if (performance.now() > until) throw new ResurgoError('noStandby', `${member.name} has not received the last WAL of the old primary (checkpoint ${input.checkpoint}, it has ${String(now.lsn ?? now.problem)})`, { details: { hint: 'The old primary is started again; see why the standby does not receive.' } });
      await sleep(50, undefined, { signal });
    }
  }, deps);
}

