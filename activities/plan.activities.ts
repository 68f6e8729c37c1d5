/** What a plan run asks of a worker. The rules are in domain/plan, the phases in activities/plan. */
import { z } from 'zod';
import type { PlanSnapshot, ResolvedStep, Json } from '../domain/plan/model.ts';
import type { EvaluationReport, PlanEvaluation } from '../domain/plan/evaluation.ts';
import type { RecoverInput } from '../domain/plan/result.ts';
import { namePattern } from '../domain/ids.ts';
import { ResurgoError } from '../domain/errors.ts';
import { targetOf } from '../config/lookup.ts';
import { parseInput } from './announce.activities.ts';
import type { ActivityDeps } from './deps.ts';
import { currentContext } from './failure-mapping.ts';
import { sandboxDeps } from './gameday/deps.ts';
import { assertSandbox } from './gameday/sandbox.ts';
import { withPulse } from './heartbeat.ts';
import { evaluatePlan, storeEvaluations } from './plan/evaluate.ts';
import { checkApprovalProof, type ApprovalProof } from './plan/approval.ts';
import * as phases from './plan/phases.ts';
import { previewPlan, type PlanPreview } from './plan/preview.ts';
import { planHashOf, snapshotOf } from './plan/snapshot.ts';

const json: z.ZodType<Json> = z.json();
const recoverInput = z.strictObject({
  schemaVersion: z.literal(1).optional(),
  plan: z.string().regex(namePattern, 'is not a name of a plan'),
  target: z.string().regex(namePattern, 'is not a target name').optional(),
  mode: z.enum(['graceful', 'ungraceful']).optional(),
  params: z.record(z.string(), json).optional(),
  incident: json.optional(),
  scenario: z.string().max(200).optional(),
  preview: z.boolean().optional(),
  startedBy: z.string().max(200).optional(),
  onBusy: z.enum(['wait', 'skip', 'refuse']).optional(),
});
const maxInput = 64 * 1024;

export interface AnnouncedRecover {
  readonly input: RecoverInput;
  readonly snapshot: PlanSnapshot;
  readonly configHash: string;
  readonly searchAttributes: boolean;
}

/** @throws inputInvalid naming the field */
export function parseRecoverInput(input: unknown): RecoverInput {
  if (JSON.stringify(input ?? {}).length > maxInput) throw new ResurgoError('inputInvalid', `The input of "recover" has more than ${String(maxInput)} characters.`);
  return parseInput(recoverInput, input, 'recover') as RecoverInput;
}

export function planActivities(deps: ActivityDeps) {
  /** Where a step works: here, or in the sandbox of a game day. */
  const at = async ({ run: { gameday }, step }: Pick<phases.PhaseInput, 'run' | 'step'>): Promise<ActivityDeps> => {
    if (gameday === undefined) return deps;
    await assertSandbox(deps, gameday);
    return sandboxDeps(deps, gameday, step);
  };
  const run = <T>(work: (host: phases.PhaseHost) => Promise<T>): Promise<T> =>
    withPulse((pulse) => work({ attempt: currentContext()?.info.attempt ?? 1, signal: pulse.signal, report: pulse.report }), deps);
  return {
    /** Effect: none. @throws inputInvalid, planUnknown, planInvalid, targetUnknown */
    async announceRecover(input: RecoverInput): Promise<AnnouncedRecover> {
      const checked = parseRecoverInput(input);
      if (checked.target !== undefined) targetOf(deps.loaded.config, checked.target);
      const snapshot = await snapshotOf(deps, checked.plan, { ...(checked.target === undefined ? {} : { target: checked.target }), ...(checked.params === undefined ? {} : { params: checked.params }) });
      return { input: checked, snapshot, configHash: planHashOf(deps.loaded, checked.plan) ?? '', searchAttributes: deps.searchAttributes };
    },

    /** Effect: none; asks every action whether it could work. */
    async previewRecover(input: RecoverInput): Promise<PlanPreview> {
      return run((host) => previewPlan(deps, parseRecoverInput(input), { signal: host.signal, check: true }));
    },

    /** Effect: none; costs nothing. */
    async resolveStep(input: phases.ResolveInput): Promise<{ readonly skip: string } | { readonly resolved: ResolvedStep }> {
      return phases.resolveStep(input.run.gameday === undefined ? deps : sandboxDeps(deps, input.run.gameday, input.step), input);
    },

    /** Effect: none. Asks the action whether it can work, and keeps what is there before. */
    async prepareStep(input: phases.PhaseInput): Promise<{ captured: Json; remarks: readonly string[] }> {
      return run(async (host) => phases.prepareStep(await at(input), input, host));
    },

    /** Effect: the action's own. Idempotency: as the action declares; one that is not is given one attempt. Heartbeat: its progress. */
    async applyStep(input: phases.PhaseInput): Promise<{ summary: string; output: Json }> {
      return run(async (host) => phases.applyStep(await at(input), input, host));
    },

    /** Effect: none. */
    async verifyStep(input: phases.PhaseInput): Promise<string> {
      return run(async (host) => phases.verifyStep(await at(input), input, host));
    },

    /** Effect: none. The step's own `verify:`. */
    async confirmStep(input: phases.PhaseInput): Promise<string> {
      return run(async (host) => phases.confirmStep(await at(input), input, host));
    },

    /** Effect: none. After a lost attempt: did it take effect? */
    async probeStep(input: phases.PhaseInput): Promise<'applied' | 'notApplied' | 'unknown'> {
      return run(async (host) => phases.probeStep(await at(input), input, host));
    },

    /** Effect: brings back what the step changed. Idempotency: undone already is success. */
    async compensateStep(input: phases.PhaseInput): Promise<string> {
      return run(async (host) => phases.compensateStep(await at(input), input, host));
    },

    /** Effect: that of the action a step names under `compensate:`. */
    async undoStep(input: phases.PhaseInput): Promise<string> {
      return run(async (host) => phases.undoStep(await at(input), input, host));
    },

    /** Effect: none. */
    async listPlans(): Promise<string[]> {
      return Object.keys(deps.loaded.config.plans ?? {});
    },

    /** Effect: none. */
    async evaluatePlan(input: { readonly plan: string }): Promise<PlanEvaluation> {
      return run((host) => evaluatePlan(deps, input.plan, host.signal));
    },

    /** Effect: one small file in the state directory. Idempotency: the newest stands. */
    async storeEvaluations(report: EvaluationReport): Promise<void> {
      await storeEvaluations(deps.loaded.stateDir, report);
    },

    /** Effect: none. @throws approvalInvalid when the proof is not by the token of that approver */
    async checkApproval(input: ApprovalProof): Promise<void> {
      checkApprovalProof(deps.loaded.config, input);
    },
  };
}
