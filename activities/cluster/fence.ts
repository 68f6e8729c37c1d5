import { ResurgoError } from '../../domain/errors.ts';
import type { FenceOutcome } from '../../domain/failover.ts';
import { runHook } from '../../providers/host/hooks.ts';
import { liftBlock, readFenceMark } from '../../providers/postgres/fence-block.ts';
import { fenceLocally } from '../../providers/postgres/fence-local.ts';
import type { ActivityDeps } from '../deps.ts';
import { withPulse } from '../heartbeat.ts';
import { claimMember } from './epoch.ts';
import { clusterOf } from './members.ts';

export interface FenceInput {
  readonly target: string;
  readonly member: string;
  readonly run: string;
  readonly epoch: number;
  readonly why: string;
  /** Of the cluster, when a member told it. */
  readonly systemId?: string;
}

/** Effect: the member's server ends and cannot start; see {@link fenceLocally}. Idempotency: again is the same. Runs on the member's host. @throws fenceUnproved, fenced */
export async function fenceLocal(deps: ActivityDeps, input: FenceInput): Promise<FenceOutcome> {
  const member = clusterOf(deps, input.target).member(input.member);
  const { dataDir } = member;
  if (dataDir === undefined) throw new ResurgoError('fenceUnproved', `${member.name} has no dataDir in the configuration`);
  const stillOurs = await claimMember(deps.loaded.stateDir, input.target, member.name, input.epoch);
  return withPulse(async ({ signal, report }) => {
    report({ phase: `end every process on ${dataDir}` });
    const { method, proof } = await fenceLocally({
      dataDir, run: input.run, epoch: input.epoch, why: input.why, stillOurs, signal, port: member.connection().port,
      graceMs: member.config.fence?.grace ?? 1500, timeoutMs: member.config.fence?.timeout ?? 30_000,
      ...(input.systemId === undefined ? {} : { systemId: input.systemId }),
    });
    return { member: member.name, method, proof, override: null };
  }, deps);
}

/** Effect: the configured program cut the member off, and says so. Idempotency: the program's. @throws fenceUnproved */
export async function fenceByCommand(deps: ActivityDeps, input: FenceInput): Promise<FenceOutcome> {
  const member = clusterOf(deps, input.target).member(input.member);
  const { fence } = member.config;
  if (fence?.exec === undefined) throw new ResurgoError('fenceUnproved', `${member.name} has no fence.exec in the configuration`);
  const command = fence.exec;
  return withPulse(async ({ signal, report }) => {
    report({ phase: `fence ${member.name} by ${command[0] ?? ''}` });
    try {
      const { output } = await runHook({ name: `fence ${member.name}`, command, timeoutMs: fence.timeout, signal, env: { RESURGO_TARGET: input.target, RESURGO_MEMBER: member.name, RESURGO_RUN: input.run } });
      return { member: member.name, method: 'exec', proof: output.split('\n').at(-1)?.trim() || `${command[0] ?? ''} ended with 0`, override: null };
    } catch (error) {
      if (signal.aborted) throw error;
      throw new ResurgoError('fenceUnproved', error instanceof Error ? error.message : String(error), { cause: error });
    }
  }, deps);
}

/** Takes back a fence of this very run; nothing is started. Effect: a start is possible again. Idempotency: again is nothing. */
export async function liftFence(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly run: string; readonly epoch: number }): Promise<string> {
  const { dataDir } = clusterOf(deps, input.target).member(input.member);
  await claimMember(deps.loaded.stateDir, input.target, input.member, input.epoch);
  const mark = dataDir === undefined ? undefined : await readFenceMark(dataDir);
  if (dataDir === undefined || mark === undefined) return `${input.member} is not blocked`;
  if (mark.run !== input.run) return `${input.member} was fenced by ${mark.run}, that stays`;
  await liftBlock(dataDir, { asStandby: false });
  return `${input.member} may be started again; it was not started`;
}
