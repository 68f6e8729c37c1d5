import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { isResurgoError } from '../../domain/errors.ts';
import type { EvaluationReport, PlanEvaluation } from '../../domain/plan/evaluation.ts';
import { writeFileAtomic } from '../../providers/host/files.ts';
import { actionsOf } from '../actions/index.ts';
import type { ActivityDeps } from '../deps.ts';
import { compilePlan, missingParams } from './compile.ts';
import { previewPlan } from './preview.ts';
import { planHashOf } from './snapshot.ts';

/** Asks every action of a plan, on this host, whether it could work. Effect: none. Never fails because of a plan. */
export async function evaluatePlan(deps: ActivityDeps, plan: string, signal: AbortSignal): Promise<PlanEvaluation> {
  const { config } = deps.loaded;
  const base = { plan, at: new Date().toISOString(), configHash: planHashOf(deps.loaded, plan) ?? '' };
  const problems = compilePlan(config, await actionsOf(deps), plan).problems.map(({ path: at, message }) => `${at.join('.')}: ${message}`);
  if (problems.length > 0) return { ...base, status: 'invalid', problems, steps: [] };
  const missing = missingParams(config, plan);
  if (missing.length > 0) return { ...base, status: 'ready', problems: [], steps: [{ step: '', outcome: 'later', detail: `it is asked with its parameters: ${missing.join(', ')}` }] };
  try {
    const { steps } = await previewPlan(deps, { plan }, { signal, check: true });
    const asked = steps.flatMap((step) => (step.check === undefined ? [] : [{ step: step.id, ...step.check, ...(step.host === undefined ? {} : { host: step.host }) }]));
    return { ...base, status: asked.some(({ outcome }) => outcome === 'failed') ? 'would fail' : 'ready', problems: [], steps: asked };
  } catch (error) {
    if (!isResurgoError(error) || error.code === 'cancelled') throw error;
    return { ...base, status: 'invalid', problems: [error.message], steps: [] };
  }
}

const fileOf = (stateDir: string): string => path.join(stateDir, 'plan-evaluations.json');

/** For `plan evaluations`, status and board of this host. */
export async function storeEvaluations(stateDir: string, report: EvaluationReport): Promise<void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await writeFileAtomic(fileOf(stateDir), `${JSON.stringify(report)}\n`);
}

/** The newest report of this host; undefined before the first. */
export async function readEvaluations(stateDir: string): Promise<EvaluationReport | undefined> {
  try {
    return JSON.parse(await readFile(fileOf(stateDir), 'utf8')) as EvaluationReport;
  } catch {
    return undefined;
  }
}
