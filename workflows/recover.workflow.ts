import type { UpdateDefinition } from '@temporalio/common';
import { allHandlersFinished, ApplicationFailure, CancellationScope, condition, isCancellation, setHandler, sleep, uuid4, workflowInfo } from '@temporalio/workflow';
import type { RunRef } from '../activities/plan/phases.ts';
import { errors, isErrorCode } from '../domain/errors.ts';
import type { Sandbox } from '../domain/gameday.ts';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import { refuse, type ControlEvent } from '../domain/plan/control.ts';
import { evidenceOf } from '../domain/plan/evidence.ts';
import { initialState, next } from '../domain/plan/machine.ts';
import type { Json, PlanMode, PlanSnapshot } from '../domain/plan/model.ts';
import { resultOf, type PlanResult, type RecoverInput, type RunFacts } from '../domain/plan/result.ts';
import type { PlanCommand, PlanEvent, PlanState } from '../domain/plan/state.ts';
import { linesOf, noteOf, viewOf } from '../domain/plan/view.ts';
import { lightOn, local } from './activity-profiles.ts';
import { factsOf, failure, rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { ApprovalCalls } from './plan-approvals.ts';
import * as messages from './plan-messages.ts';
import { perform } from './plan-steps.ts';
import { Checklist, searchAttributes } from './progress.ts';

export interface PlanRunInput {
  readonly id: string;
  readonly snapshot: PlanSnapshot;
  readonly configHash: string;
  readonly fence: string;
  readonly mode: PlanMode;
  readonly startedBy: string;
  readonly scenario?: string;
  readonly incident?: Json;
  readonly searchAttributes: boolean;
  /** The plan is tried in this sandbox; its record is part of the game day's. */
  readonly gameday?: Sandbox;
}

/** Ids of runs end the workflow id, where it was made by us. */
const runIdOf = (workflowId: string): string => {
  const last = workflowId.split('/').at(-1) ?? '';
  return /^[0-9a-z]{12}$/.test(last) ? last : idFromUuid(uuid4());
};

/**
 * Runs a recovery plan of the configuration. Public: `{"plan":"restart-api"}`, or with `target`, `mode`, `params`, `incident`, `preview`.
 * Ids: any; `plan/<plan>/<run id>` by our own callers. The work runs in the child `running/<plan>[/<target>]`, which is the lock of plan and target
 * and takes the updates of people (see plan-messages.ts). Query: `steps`. Ends with the plan's result; a plan that did not complete fails with
 * the code of what stopped it, and the whole result in the failure's details.
 */
export async function recover(given: RecoverInput | undefined): Promise<PlanResult> {
  try {
    // A person may have typed anything, or nothing.
    const input = (given ?? {}) as RecoverInput;
    const checklist = new Checklist(`Recovery plan ${String(input.plan)}`, ['validate', 'run']);
    if (input.preview === true) return (await checklist.run('validate', () => lightOn(null, `preview of plan ${String(input.plan)}`).previewRecover(input))) as unknown as PlanResult;
    const announced = await checklist.run('validate', () => local.announceRecover(input), ({ snapshot }) => `${String(snapshot.steps.length)} steps, preview ${snapshot.hash.slice(0, 12)}`);
    const { snapshot, configHash, searchAttributes: attributes } = announced;
    const { mode, onBusy, scenario, incident, startedBy } = announced.input;
    checklist.enableAttributes(attributes);
    checklist.tag([
      { key: searchAttributes.operation, value: 'recover' },
      { key: searchAttributes.plan, value: snapshot.plan },
      ...(snapshot.target === undefined ? [] : [{ key: searchAttributes.target, value: snapshot.target }]),
    ]);
    const { workflowId, startTime } = workflowInfo();
    const id = runIdOf(workflowId);
    const run: PlanRunInput = {
      id, snapshot, configHash, fence: fenceOf(startTime.getTime(), id), mode: mode ?? 'graceful', startedBy: startedBy ?? 'temporal', searchAttributes: attributes,
      ...(scenario === undefined ? {} : { scenario }), ...(incident === undefined ? {} : { incident }),
    };
    const result = await checklist.run('run', () =>
      runLocked<typeof planRun>('planRun', [run], { lockId: lockIds.plan(snapshot.plan, snapshot.target), summary: `plan ${snapshot.plan} (${id})`, onBusy: onBusy ?? 'refuse' }),
    );
    if (result !== skipped) return result;
    const state = initialState(snapshot);
    return { ...resultOf(snapshot, { ...state, startedAt: startTime.getTime() }, { id, startedBy: run.startedBy }, Date.now()), status: 'skipped', warnings: [`another run of plan ${snapshot.plan} goes on`] };
  } catch (error) {
    rethrow(error);
  }
}

/** Sorts by time of the run's start. */
export const fenceOf = (startedAtMs: number, runId: string): string => `${String(startedAtMs).padStart(15, '0')}-${runId}`;

/** The Temporal driver of the plan interpreter (domain/plan/machine.ts). */
export async function planRun(input: PlanRunInput): Promise<PlanResult> {
  const { snapshot } = input;
  const facts: RunFacts = { id: input.id, startedBy: input.startedBy, ...(input.scenario === undefined ? {} : { scenario: input.scenario }), ...(input.incident === undefined ? {} : { incident: input.incident }) };
  const run: Omit<RunRef, 'mode'> = { id: input.id, plan: snapshot.plan, fence: input.fence, configHash: input.configHash, ...(snapshot.target === undefined ? {} : { target: snapshot.target }), ...(input.gameday === undefined ? {} : { gameday: input.gameday }) };
  const checklist = new Checklist(`Plan ${snapshot.plan}, run ${input.id}`, []);
  checklist.enableAttributes(input.searchAttributes);
  const tags = [{ key: searchAttributes.operation, value: 'recover' }, { key: searchAttributes.plan, value: snapshot.plan }, ...(snapshot.target === undefined ? [] : [{ key: searchAttributes.target, value: snapshot.target }])];
  checklist.tag(tags);

  let state: PlanState = initialState(snapshot);
  const scopes = new Map<string, CancellationScope>();
  let shownStatus = '';
  const calls = new ApprovalCalls(snapshot, input.id, () => state);

  const dispatch = (event: PlanEvent): void => {
    const made = next(snapshot, state, event);
    ({ state } = made);
    checklist.replace(linesOf(snapshot, state), noteOf(state));
    if (state.status !== shownStatus) {
      shownStatus = state.status;
      checklist.tag([{ key: searchAttributes.outcome, value: state.status }]);
    }
    for (const command of made.commands) carryOut(command);
    calls.look();
  };

  const carryOut = (command: PlanCommand): void => {
    if (command.type === 'cancel') {
      scopes.get(command.key)?.cancel();
      return;
    }
    const given = state;
    const scope = new CancellationScope();
    scopes.set(command.key, scope);
    const work = scope.run(async () => {
      if (command.type === 'timer') {
        await sleep(Math.max(0, command.at - Date.now()));
        return { type: 'expired', key: command.key } as const;
      }
      return perform(command, { snapshot, run, state: given, ...(input.incident === undefined ? {} : { incident: input.incident }) });
    });
    work.then(
      (event) => {
        scopes.delete(command.key);
        dispatch({ ...event, at: Date.now() });
      },
      (error: unknown) => {
        scopes.delete(command.key);
        // A timer that was cancelled tells nothing; perform() itself never throws but when its scope is cancelled before it began.
        if (!isCancellation(error) || command.type !== 'timer') {
          const { code, message } = factsOf(error);
          dispatch(command.type === 'undo' ? { type: 'undoFailed', key: command.key, error: { code, message }, at: Date.now() } : { type: 'phaseFailed', key: command.key, error: { code, message }, outcome: 'lost', at: Date.now() });
        }
      },
    );
  };

  setHandler(messages.planQuery, () => viewOf(snapshot, state, facts, workflowInfo().workflowId, Date.now()), { description: 'The whole run: steps, approvals that are wanted, what a person has to decide' });
  handlePeople({ dispatch, run: input.id, snapshot, state: () => state });

  await CancellationScope.nonCancellable(async () => {
    dispatch({ type: 'start', mode: input.mode, at: Date.now() });
    await condition(() => state.stage === 'ended');
    await condition(allHandlersFinished);
    await calls.settled();
  });
  const ended = resultOf(snapshot, state, facts, Date.now());
  const told = { ...ended, warnings: [...ended.warnings, ...calls.troubles] };
  const result = input.gameday === undefined ? await withEvidence(told, input.incident) : told;
  if (result.status === 'completed') return result;
  const { code, message, hint } = result.error ?? { code: 'bug', message: 'the plan ended without a word' };
  const known = isErrorCode(code) ? code : 'bug';
  throw ApplicationFailure.create({ type: known, message, nonRetryable: true, details: [{ hint: hint ?? errors[known].hint, kind: errors[known].kind, result }] });
}

/** The record outlives Temporal's history. That it cannot be written makes no recovery fail, and holds none up for long. */
async function withEvidence(result: PlanResult, incident: Json | undefined): Promise<PlanResult> {
  const told = typeof incident === 'object' && incident !== null && !Array.isArray(incident) ? (incident as { detectedAt?: unknown; since?: unknown }) : {};
  const isTime = (value: unknown): value is string => typeof value === 'string' && !Number.isNaN(Date.parse(value));
  const document = evidenceOf(result, { drivenBy: 'temporal', ...(isTime(told.detectedAt) ? { detectedAt: told.detectedAt } : {}), ...(isTime(told.since) ? { since: told.since } : {}) });
  try {
    const { key } = await CancellationScope.nonCancellable(() =>
      lightOn(null, `keep the record of run ${result.id}`, { scheduleToCloseTimeout: '2 minutes', retry: { initialInterval: '1 second', maximumAttempts: 3 } }).recordEvidence({ document }),
    );
    return { ...result, evidence: key };
  } catch (error) {
    return { ...result, warnings: [...result.warnings, `the record of this run could not be written: ${factsOf(error).message}`] };
  }
}

interface People {
  readonly dispatch: (event: PlanEvent) => void;
  readonly run: string;
  readonly snapshot: PlanSnapshot;
  readonly state: () => PlanState;
}

/** What a person typed may be anything. */
const isDecision = (given: unknown): boolean => typeof given === 'object' && given !== null && ['as', 'hash', 'proof'].every((key) => typeof (given as Record<string, unknown>)[key] === 'string');

/** Updates, each with a synchronous validator; a cancelled workflow is an abort. */
function handlePeople({ dispatch, run, snapshot, state }: People): void {
  const at = (): number => Date.now();
  const check = (event: ControlEvent): void => {
    const reason = refuse(snapshot, state(), event);
    if (reason !== undefined) throw failure('controlRefused', reason);
  };
  const by = (given?: { readonly by?: string }): string => String(given?.by ?? 'somebody').slice(0, 200);
  const said = (): string => state().status;
  const handle = <Args extends unknown[]>(update: UpdateDefinition<string, Args>, event: (...args: Args) => ControlEvent, description: string): void => {
    setHandler(
      update,
      ((...args: Args) => {
        dispatch(event(...args));
        return said();
      }) as never,
      { validator: ((...args: Args) => { check(event(...args)); }) as never, description } as never,
    );
  };
  handle(messages.pauseUpdate, (given) => ({ type: 'pause', by: by(given), at: at() }), 'Starts no new step until resumed');
  handle(messages.resumeUpdate, (given) => ({ type: 'resume', by: by(given), at: at() }), 'Goes on after a pause');
  handle(messages.abortUpdate, (given) => ({ type: 'abort', by: by(given), at: at(), ...(given?.reason === undefined ? {} : { reason: String(given.reason).slice(0, 1000) }) }), 'Stops, and undoes what was done');
  handle(messages.skipUpdate, (given) => ({ type: 'skip', step: given?.step ?? '', by: by(given), at: at() }), 'Leaves a step out: {"step":"…"}');
  handle(messages.retryUpdate, (given) => ({ type: 'retry', step: given?.step ?? state().held?.step ?? '', by: by(given), at: at() }), 'Tries the failed step again');
  handle(messages.modeUpdate, (given) => ({ type: 'mode', mode: given?.mode === 'ungraceful' ? 'ungraceful' : 'graceful', by: by(given), at: at() }), '{"mode":"ungraceful"}: what needs the lost site to answer is left out from now on');
  handle(messages.answerUpdate, (given) => ({ type: 'answer', step: given?.step ?? state().held?.step ?? '', answer: given?.answer === 'applied' ? 'applied' : 'notApplied', by: by(given), at: at() }), 'Tells whether a step of unknown outcome took effect: {"answer":"applied"}');

  const stepOf = (given: { readonly step?: string }): string => given.step ?? Object.entries(state().steps).find(([, step]) => step.phase === 'approval')?.[0] ?? '';
  const decide = (decision: 'approve' | 'reject', given: { readonly step?: string; readonly as: string; readonly hash: string; readonly reason?: string }): ControlEvent =>
    decision === 'approve'
      ? { type: 'approved', step: stepOf(given), as: given.as, hash: given.hash, at: at() }
      : { type: 'rejected', step: stepOf(given), as: given.as, at: at(), ...(given.reason === undefined ? {} : { reason: given.reason }) };
  for (const [update, decision] of [[messages.approveUpdate, 'approve'], [messages.rejectUpdate, 'reject']] as const) {
    setHandler(
      update,
      async (given: { readonly step?: string; readonly as: string; readonly hash: string; readonly proof: string }) => {
        const step = stepOf(given);
        await lightOn(null, `is the ${decision === 'approve' ? 'approval' : 'refusal'} by ${given.as}?`).checkApproval({ run, step, hash: given.hash, as: given.as, decision, proof: given.proof });
        const event = decide(decision, { ...given, step });
        check(event);
        dispatch(event);
        return said();
      },
      {
        validator: (given: { readonly step?: string; readonly as: string; readonly hash: string; readonly proof: string }) => {
          if (!isDecision(given))
            throw failure('inputInvalid', 'give as, hash and proof; `resurgo plan approve RUN --as NAME --print` makes them');
          check(decide(decision, given));
        },
        description: decision === 'approve' ? 'Approves a step; `resurgo plan approve RUN --as NAME --print` writes the input' : 'Refuses a step',
      },
    );
  }
  CancellationScope.current().cancelRequested.catch(() => {
    dispatch({ type: 'abort', by: 'a cancel request', at: at() });
  });
}
