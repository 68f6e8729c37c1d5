import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FailoverResult } from '../../domain/failover.ts';
import { repositoriesFor } from '../../config/lookup.ts';
import { writeFileAtomic } from '../../providers/host/files.ts';
import type { ActivityDeps } from '../deps.ts';

/** A repository that hangs does not hold up the end of a failover. */
const patienceMs = 20_000;

/** On this host and in every repository that takes it: evidence outlives Temporal's history. Effect: one file each. Idempotency: the same again. */
export async function recordFailover(deps: ActivityDeps, result: FailoverResult): Promise<void> {
  const body = `${JSON.stringify(result, null, 1)}\n`;
  const directory = join(deps.loaded.stateDir, 'failovers');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(directory, `${result.id}.json`), body);
  const key = `evidence/failovers/${result.target}/${result.id}.json`;
  await Promise.all(
    repositoriesFor(deps.loaded.config, result.target).map((name) =>
      Promise.race([deps.stores.open(name).then((store) => store.put(key, Buffer.from(body))).catch(() => undefined), sleep(patienceMs, undefined, { ref: false })]),
    ),
  );
}
