import { workflowInfo } from '@temporalio/workflow';
import { withHost, type EvaluationReport, type PlanEvaluation } from '../domain/plan/evaluation.ts';
import { lightOn, onHost } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { Checklist } from './progress.ts';

/**
 * Looks whether every plan of the configuration could work now, each step on its own host (I11). Started every half an hour by a schedule, or by hand
 * without input. Query: `steps`. Changes nothing, and gates nothing: a plan that would fail is reported and can be run all the same.
 */
export async function evaluatePlans(): Promise<EvaluationReport> {
  try {
    const names = await lightOn(null, 'which plans are there?').listPlans();
    const checklist = new Checklist('Could the plans work now?', names);
    const plans: PlanEvaluation[] = [];
    for (const name of names) {
      checklist.set(name, 'in progress');
      let made = await lightOn(null, `could plan ${name} work?`, { startToCloseTimeout: '5 minutes' }).evaluatePlan({ plan: name });
      const hosts = [...new Set(made.steps.flatMap(({ host, outcome }) => (host === undefined || outcome !== 'later' ? [] : [host])))];
      for (const host of hosts) {
        try {
          const there = await onHost(host, `could plan ${name} work on ${host}?`, { startToCloseTimeout: '5 minutes', scheduleToStartTimeout: '60 seconds' }).evaluatePlan({ plan: name });
          made = withHost(made, host, there.steps);
        } catch (error) {
          const { code, message } = factsOf(error);
          made = withHost(made, host, made.steps.filter((step) => step.host === host).map((step) => ({ ...step, outcome: 'failed', detail: `host ${host}: ${message}`, code })));
        }
      }
      const bad = made.steps.filter(({ outcome }) => outcome === 'failed');
      checklist.set(name, made.status === 'ready' ? 'completed' : 'failed', made.status === 'ready' ? 'ready' : [...made.problems, ...bad.map(({ step, detail }) => `${step}: ${detail}`)].join('; ').slice(0, 500));
      plans.push(made);
    }
    const report: EvaluationReport = { schemaVersion: 1, at: new Date(workflowInfo().startTime).toISOString(), plans };
    await lightOn(null, 'keep the result').storeEvaluations(report);
    return report;
  } catch (error) {
    rethrow(error);
  }
}
