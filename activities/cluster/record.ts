import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FailoverResult } from '../../domain/failover.ts';
import { failoverEvidence } from '../../domain/failover-evidence.ts';
import { writeFileAtomic } from '../../providers/host/files.ts';
import type { ActivityDeps } from '../deps.ts';
import { recordEvidence } from '../evidence.activities.ts';

/** A repository that hangs does not hold up the end of a failover. */
const patienceMs = 20_000;

/**
 * As signed evidence in every repository that takes it, and on this host, whether one does or not: evidence outlives Temporal's history.
 * Effect: one file, one document of the chain each. Idempotency: the same document is written once.
 */
export async function recordFailover(deps: ActivityDeps, result: FailoverResult): Promise<void> {
  const directory = join(deps.loaded.stateDir, 'failovers');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(directory, `${result.id}.json`), `${JSON.stringify(result, null, 1)}\n`);
  await Promise.race([recordEvidence(deps, { document: failoverEvidence(result) }).catch(() => undefined), sleep(patienceMs, undefined, { ref: false })]);
}
