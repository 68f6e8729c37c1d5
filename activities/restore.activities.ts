import type { FinishRestoreInput, FinishRestoreResult, RestoreInput, RestorePlan, RestoreResult, RestoreVerification } from '../domain/operations.ts';
import { ResurgoError } from '../domain/errors.ts';
import { checkHookProgram } from '../config/safe-file.ts';
import { runHook } from '../providers/host/hooks.ts';
import type { BuiltRestore } from '../workflows/restore-flow.ts';
import type { ActivityDeps } from './deps.ts';
import { restoreEngine, type RestoreEngine } from './engines/restore-engine.ts';
import { withPulse } from './heartbeat.ts';
import { openChain, planRestore } from './restore-plan.ts';
import { readRestoreRecord, writeRestoreRecord } from './restore-record.ts';
import { targetSettings } from './target-settings.ts';

/** The steps of a restore. Each may be called again after a crash and converges. Effects are told by the engine that has them. */
export function restoreActivities(deps: ActivityDeps) {
  const engineOf = (plan: RestorePlan): RestoreEngine => restoreEngine(deps, targetSettings(deps, plan.target, plan.configHash));

  const hook = async (plan: RestorePlan, name: 'stop' | 'start' | 'health'): Promise<string | undefined> => {
    const service = targetSettings(deps, plan.target, plan.configHash).service;
    const command = service?.[name];
    if (service === undefined || command === undefined) return undefined;
    // Somebody may have changed it since `resurgo check`; as root it must be nobody else's to change.
    const [program] = command;
    if (program?.includes('/') === true) checkHookProgram(program, `targets.${plan.target}.service.${name}`, deps.loaded.owner);
    await withPulse(({ signal, report }) => {
      report({ phase: `${name} hook of ${plan.target}` });
      return runHook({ name, command, timeoutMs: service.timeout, signal, env: { RESURGO_TARGET: plan.target, RESURGO_RESTORE: plan.id } });
    }, deps);
    return `${name}: ${command[0] ?? ''}`;
  };

  return {
    planRestore: (input: RestoreInput & { readonly id: string; readonly startedAt: string }): Promise<RestorePlan> => planRestore(deps, input),

    /** Effect: the data beside its destination. Idempotency: what an earlier attempt left is removed first. Heartbeat: bytes. */
    buildRestore: (plan: RestorePlan): Promise<BuiltRestore> =>
      withPulse(async (pulse) => engineOf(plan).build(plan, await openChain(deps, plan), pulse), deps),

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
      const seen = await engineOf(plan).health(plan);
      return told === undefined ? seen : `${told}; ${seen}`;
    },

    swapIn: (plan: RestorePlan) => engineOf(plan).swapIn(plan),
    swapBack: (plan: RestorePlan) => engineOf(plan).swapBack(plan),
    settleRestore: (plan: RestorePlan) => engineOf(plan).settle(plan),
    discardRestore: (plan: RestorePlan) => engineOf(plan).discard(plan),

    /** Effect: the record of the restore on this host and in the first repository that takes it. */
    recordRestore: ({ plan, result }: { readonly plan: RestorePlan; readonly result: RestoreResult }): Promise<void> => writeRestoreRecord(deps, plan, result),

    /** Effect: the kept copy is gone (confirm), or back in place (rollback). Idempotency: done already is success. */
    finishInPlace: async ({ id, target, action }: FinishRestoreInput): Promise<FinishRestoreResult> => {
      const record = await readRestoreRecord(deps, target, id);
      if (record.result.mode !== 'in-place' || !record.result.status.startsWith('restored')) {
        throw new ResurgoError('inputInvalid', `restore ${id} of ${target} is no finished in-place restore (${record.result.mode}, ${record.result.status}); there is nothing to ${action}`);
      }
      // The configuration may have changed since; what counts is where the data lies now.
      const plan = { ...record.plan, configHash: targetSettings(deps, target).hash };
      const engine = engineOf(plan);
      if (action === 'confirm') {
        return { schemaVersion: 1, id, target, action, status: 'confirmed', detail: await engine.confirm(plan) };
      }
      if (plan.stopsServices) await hook(plan, 'stop');
      try {
        const detail = await engine.rollback(plan);
        return { schemaVersion: 1, id, target, action, status: 'rolled-back', detail };
      } finally {
        if (plan.stopsServices) await hook(plan, 'start');
      }
    },
  };
}
