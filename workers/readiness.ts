import type { Readiness } from '../activities/deps.ts';
import { statusReport } from '../client/status/report.ts';
import type { LoadedConfig } from '../config/load.ts';

/** How things stand, for the dead-man pings: the same as `resurgo status`. */
export async function readiness(loaded: LoadedConfig): Promise<Readiness> {
  const report = await statusReport(loaded);
  return {
    targets: report.targets.map(({ name, problems }) => ({ name, missed: problems.filter(({ severity }) => severity === 'objective').map(({ message }) => message) })),
    unknown: [
      ...(report.temporal.reachable ? [] : [`Temporal: ${report.temporal.error ?? 'does not answer'}`]),
      ...report.repositories.flatMap(({ name, error }) => (error === undefined ? [] : [`repository ${name}: ${error.message}`])),
    ],
  };
}
