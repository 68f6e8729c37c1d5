/** A workflow of nothing but steps, kept as ours are: a checklist entry and one activity each. For `step-overhead-ms`. */
import { proxyActivities } from '@temporalio/workflow';
import { Checklist } from '../../workflows/progress.ts';

const { nothing } = proxyActivities<{ nothing(): Promise<void> }>({ startToCloseTimeout: '1 minute' });

export async function steps(count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, i) => `step ${String(i + 1)}`);
  const checklist = new Checklist('Steps that do nothing', names);
  for (const name of names) await checklist.run(name, nothing);
}
