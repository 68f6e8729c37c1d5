import { actionsOf } from '../../activities/actions/index.ts';
import { evaluatePlan } from '../../activities/plan/evaluate.ts';
import { createDeps } from '../../workers/deps.ts';
import { defaultHostName } from '../../workers/main.ts';
import { describeProblem, findProblems } from '../plan/problems.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** Every plan (I11): is it valid, with lines; and could its steps work now, as far as this host can tell? */
export async function checkPlans({ loaded, signal }: CheckScope, offline: boolean): Promise<Finding[][]> {
  if (Object.keys(loaded.config.plans ?? {}).length === 0) return [];
  const deps = createDeps(loaded, { host: defaultHostName(loaded.stateDir), searchAttributes: false });
  try {
    const all: Finding[][] = [];
    for (const { plan, problems } of findProblems(loaded, await actionsOf(deps))) {
      const findings = new Findings('plan', plan);
      all.push(findings.list);
      for (const problem of problems) findings.fail(describeProblem(loaded, problem), 'docs/reference/actions.md and config.md list what is known.', 'planInvalid');
      if (problems.length > 0) continue;
      if (offline) {
        findings.ok('is valid');
        continue;
      }
      const { status, steps, problems: found } = await evaluatePlan(deps, plan, signal);
      for (const problem of found) findings.warn(problem, 'Mend the plan.');
      for (const { step, outcome, detail } of steps) if (outcome === 'failed') findings.warn(`step ${step} could not work now: ${detail}`, 'The plan can be run all the same; nothing is gated by this.');
      if (status === 'ready') findings.ok(steps.some(({ outcome }) => outcome === 'later') ? 'is valid; some steps can only be asked when it runs' : 'is valid, and every step could work now');
    }
    return all;
  } finally {
    await deps.stores.close();
  }
}
