import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lsnDistance } from '../../domain/lsn.ts';
import type { DataLoss } from '../../domain/failover.ts';
import { walEnd } from '../../providers/postgres/wal-end.ts';
import type { ActivityDeps } from '../deps.ts';
import { withPulse } from '../heartbeat.ts';
import { clusterOf } from './members.ts';

/** WAL the fenced primary had written behind the point where the new timeline leaves its own. Effect: none. Runs on its host. */
export async function measureLoss(deps: ActivityDeps, input: { readonly target: string; readonly member: string; readonly timeline: number; readonly switchLsn: string }): Promise<DataLoss> {
  const cluster = clusterOf(deps, input.target);
  const { dataDir, name } = cluster.member(input.member);
  if (dataDir === undefined) return { bytes: null, oldPrimaryLsn: null, detail: `${name} has no dataDir in the configuration: its last WAL was not looked at` };
  return withPulse(async ({ signal, report }) => {
    report({ phase: `look for WAL on ${name} that ${input.switchLsn} leaves behind` });
    const major = Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8'), 10);
    const end = await walEnd({ dataDir, major, timeline: input.timeline, from: input.switchLsn, toolDirs: cluster.toolsDirs, signal });
    const bytes = Math.max(0, lsnDistance(input.switchLsn, end));
    return { bytes, oldPrimaryLsn: end, detail: bytes === 0 ? `nothing: ${name} had written nothing behind ${input.switchLsn}` : `${String(bytes)} bytes of WAL on ${name}, from ${input.switchLsn} to ${end}, did not reach the new primary; they are kept there until the member is brought back` };
  }, deps);
}
