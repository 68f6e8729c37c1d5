import type { FinishRestoreInput, FinishRestoreResult, RestorePlan } from '../domain/operations.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { ActivityDeps } from './deps.ts';
import { engineDefinition } from './engines/index.ts';
import { finishedBy, noteFinished, readMark, removeMark, writeMark } from './restore-marks.ts';
import { noteSwap, readRestoreRecord } from './restore-record.ts';
import { targetSettings } from './target-settings.ts';

type Hook = (plan: RestorePlan, name: 'stop' | 'start') => Promise<unknown>;

/**
 * Drops what an in-place restore kept, or brings it back. Effect: the kept copy is gone (confirm), or in place again (rollback). Idempotency: an
 * intent is written first, so that an attempt after a crash knows what the one before it has done; and the result last, for an attempt of the same run
 * when nobody heard of it.
 * @throws inputInvalid when this restore keeps nothing, hookFailed
 */
export async function finishInPlace(deps: ActivityDeps, { id, target, action }: FinishRestoreInput, hook: Hook): Promise<FinishRestoreResult> {
  const settings = targetSettings(deps, target);
  const { stateDir } = deps.loaded;
  const told = await finishedBy(stateDir, id);
  if (told !== undefined) return told;
  const mark = await readMark(stateDir, id);
  // The configuration may have changed since; what counts is where the data lies now.
  const recorded = await planOf(deps, target, id);
  const plan = { ...recorded.plan, configHash: settings.hash };
  if (plan.mode !== 'in-place') throw new ResurgoError('inputInvalid', `restore ${id} of ${target} was not in place (${plan.mode}): there is nothing to ${action}`);
  const engine = engineDefinition(settings.engine).restore(deps, settings);
  const resumed = mark?.finishing === action;
  const status = action === 'confirm' ? 'confirmed' : 'rolled-back';
  const done = async (detail: string): Promise<FinishRestoreResult> => {
    const result: FinishRestoreResult = { schemaVersion: 1, id, target, action, status, detail };
    await noteFinished(stateDir, result);
    await removeMark(stateDir, id);
    return result;
  };
  const pending = await engine.keeps(plan);
  if (!pending && !resumed) {
    if (action === 'confirm') return done('the old data is gone already');
    throw new ResurgoError('inputInvalid', `restore ${id} of ${target} keeps nothing: it was confirmed or rolled back before, or undone when it failed`);
  }
  await writeMark(stateDir, { plan, finishing: action });
  if (action === 'confirm') return done(pending ? await engine.confirm(plan) : 'the old data was removed');
  if (plan.stopsServices) await hook(plan, 'stop');
  let detail: string;
  try {
    detail = pending ? await engine.rollback(plan) : `${plan.destination} is the old data again`;
    await noteSwap(deps, plan, 'back', new Date().toISOString(), recorded.swappedAt);
  } finally {
    if (plan.stopsServices) await hook(plan, 'start');
  }
  // Not before the services run again: an attempt after this one would leave them stopped.
  return done(detail);
}

/** From the record of the restore; from its mark when it was ended by force before it was recorded. And by when, at the latest, its data was what there is, unless a note tells. */
async function planOf(deps: ActivityDeps, target: string, id: string): Promise<{ plan: RestorePlan; swappedAt: string }> {
  try {
    const { plan, result } = await readRestoreRecord(deps, target, id);
    return { plan, swappedAt: result.endedAt };
  } catch (error) {
    const mark = isResurgoError(error, 'backupUnknown') ? await readMark(deps.loaded.stateDir, id) : undefined;
    if (mark?.plan.target !== target) throw error;
    return { plan: mark.plan, swappedAt: mark.plan.startedAt };
  }
}
