import { isAbsolute } from 'node:path';
import type { FinishRestoreInput, FinishRestoreResult, RestoreInput, RestorePlan, RestoreResult, RestoreVerification } from '../domain/operations.ts';
import { automaticBasePrefix, lockIds } from '../domain/ids.ts';
import { checkHookProgram } from '../config/safe-file.ts';
import { runHook } from '../providers/host/hooks.ts';
import type { BuiltRestore } from '../workflows/restore-flow.ts';
import type { ActivityDeps } from './deps.ts';
import { engineDefinition } from './engines/index.ts';
import type { RestoreEngine } from './engines/restore-engine.ts';
import { namingFullDisk, type DiskPlace } from './full-disk.ts';
import { withPulse } from './heartbeat.ts';
import { finishInPlace } from './restore-finish.ts';
import { marksOf, removeMark, writeMark } from './restore-marks.ts';
import { openChain, planRestore } from './restore-plan.ts';
import { noteSwap, writeRestoreRecord } from './restore-record.ts';
import { removeStaging, stagingPath } from './staging.ts';
import { targetSettings } from './target-settings.ts';

/** The steps of a restore. Each may be called again after a crash and converges. Effects are told by the engine that has them. */
export function restoreActivities(deps: ActivityDeps) {
  const engineOf = (plan: RestorePlan): RestoreEngine => {
    const settings = targetSettings(deps, plan.target, plan.configHash);
    return engineDefinition(settings.engine).restore(deps, settings);
  };

  const hook = async (plan: RestorePlan, name: 'stop' | 'start' | 'health'): Promise<string | undefined> => {
    const targets = engineOf(plan).serviceTargets?.(plan) ?? [plan.target];
    const told: string[] = [];
    // What was stopped last starts first.
    for (const target of name === 'start' ? [...targets].reverse() : targets) {
      const line = await hookOf(plan, target, name);
      if (line !== undefined) told.push(targets.length > 1 ? `${target}: ${line}` : line);
    }
    return told.length === 0 ? undefined : told.join('; ');
  };

  const hookOf = async (plan: RestorePlan, target: string, name: 'stop' | 'start' | 'health'): Promise<string | undefined> => {
    const service = targetSettings(deps, target, target === plan.target ? plan.configHash : undefined).service;
    const command = service?.[name];
    if (service === undefined || command === undefined) return undefined;
    // Somebody may have changed it since `resurgo check`; as root it must be nobody else's to change.
    const [program] = command;
    if (program?.includes('/') === true) checkHookProgram(program, `targets.${target}.service.${name}`, deps.loaded.owner);
    await withPulse(({ signal, report }) => {
      report({ phase: `${name} hook of ${target}` });
      return runHook({ name, command, timeoutMs: service.timeout, signal, env: { RESURGO_TARGET: target, RESURGO_RESTORE: plan.id } });
    }, deps);
    return `${name}: ${command[0] ?? ''}`;
  };

  const { stateDir } = deps.loaded;
  const placesOf = (plan: RestorePlan): DiskPlace[] => [
    ...plan.destination.split(', ').filter(isAbsolute).map((path) => ({ what: `the destination of the restore of ${plan.target}`, path })),
    { what: 'staging', path: stagingPath(deps, plan.target, plan.id) }, { what: 'the state directory', path: stateDir },
  ];

  /** Whoever holds the restore lock of the target calls this: other restores of it are dead. One whose old data is kept waits for a person. */
  const sweepDead = async (own: RestorePlan): Promise<string[]> => {
    const problems: string[] = [];
    // A rescue holds no lock.
    if (deps.host === 'rescue') return problems;
    const settings = targetSettings(deps, own.target, own.configHash);
    const engine = engineDefinition(settings.engine).restore(deps, settings);
    for (const { plan } of await marksOf(stateDir, own.target)) {
      if (plan.id === own.id || plan.engine !== settings.engine) continue;
      try {
        if (plan.mode === 'in-place' && (await engine.keeps(plan))) continue;
        await removeStaging(deps, plan.target, plan.id);
        await engine.discard(plan);
        await removeMark(stateDir, plan.id);
      } catch (error) {
        // What a dead restore left elsewhere must not keep this one from being made.
        problems.push(`what restore ${plan.id} left at ${plan.destination} could not be removed: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return problems;
  };

  return {
    planRestore: (input: RestoreInput & { readonly id: string; readonly startedAt: string }): Promise<RestorePlan> => planRestore(deps, input),

    /** Effect: the data beside its destination. Idempotency: what an earlier attempt, or a dead restore, left is removed first. Heartbeat: bytes. */
    buildRestore: (plan: RestorePlan): Promise<BuiltRestore> =>
      withPulse(async (pulse) => {
        return namingFullDisk('destinationSpace', placesOf(plan), async () => {
          const problems = await sweepDead(plan);
          await writeMark(stateDir, { plan });
          const built = await engineOf(plan).build(plan, await openChain(deps, plan), pulse);
          return problems.length === 0 ? built : { ...built, warnings: [...built.warnings, ...problems] };
        });
      }, deps),

    /** Effect: none that lasts. @throws restoreMismatch, contentMismatch */
    verifyRestore: (plan: RestorePlan): Promise<RestoreVerification> =>
      withPulse(async (pulse) => engineOf(plan).verify(plan, await openChain(deps, plan), pulse), deps),

    /** Effect: the configured stop hook ran. @throws hookFailed */
    stopServices: async (plan: RestorePlan): Promise<string> => (await hook(plan, 'stop')) ?? 'no stop hook',

    /** Effect: the configured start hook ran. @throws hookFailed */
    startServices: async (plan: RestorePlan): Promise<string> => (await hook(plan, 'start')) ?? 'no start hook',

    /** Effect: none. @throws hookFailed, restoreMismatch */
    healthCheck: async (plan: RestorePlan): Promise<string> => {
      const told = await hook(plan, 'health');
      const seen = await withPulse((pulse) => {
        pulse.report({ phase: `wait for ${plan.destination}` });
        return engineOf(plan).health(plan, pulse);
      }, deps);
      return told === undefined ? seen : `${told}; ${seen}`;
    },

    /** Effect: a note in the repositories, then the swap. The note comes before anything that could be archived or backed up of the new data; `recordRestore` sees to it again. */
    swapIn: async (plan: RestorePlan): Promise<{ readonly kept?: string }> => {
      await noteSwap(deps, plan, 'in', new Date().toISOString()).catch(() => undefined);
      return engineOf(plan).swapIn(plan);
    },
    swapBack: async (plan: RestorePlan): Promise<string> => {
      const detail = await engineOf(plan).swapBack(plan);
      // Where there was nothing to bring back, what was restored stays.
      if (plan.replaces) await noteSwap(deps, plan, 'back', new Date().toISOString()).catch(() => undefined);
      return detail;
    },
    settleRestore: async (plan: RestorePlan): Promise<string> => {
      const detail = await engineOf(plan).settle(plan);
      await removeMark(stateDir, plan.id);
      return detail;
    },
    discardRestore: async (plan: RestorePlan): Promise<string> => {
      const detail = await engineOf(plan).discard(plan);
      await removeMark(stateDir, plan.id);
      return detail;
    },

    /** Effect: the record of the restore on this host and in the first repository that takes it. */
    recordRestore: async ({ plan, result }: { readonly plan: RestorePlan; readonly result: RestoreResult }): Promise<void> => {
      await writeRestoreRecord(deps, plan, result);
      if (result.status === 'restored' || result.status === 'restored-with-warnings') await noteSwap(deps, plan, 'in', result.endedAt);
      // What could not be undone is looked at again by the next restore, and by a person.
      if (result.status !== 'failed') await removeMark(stateDir, plan.id);
    },

    /**
     * A base backup that the WAL archive began by itself after the swap is of data that goes away with a rollback: it must not hold that up.
     * Effect: it is asked to cancel. @returns its workflow's id
     */
    endAutomaticBackup: async ({ target }: { readonly target: string }): Promise<string | null> => (await deps.cancelParent?.(lockIds.operation(target), automaticBasePrefix(target))) ?? null,

    finishInPlace: (input: FinishRestoreInput): Promise<FinishRestoreResult> => finishInPlace(deps, input, hook),
  };
}
