import { judgePerformance, latencies, median, type GroupedCheck, type PerformanceResult } from '../../domain/drill.ts';
import type { PerformanceConfig } from '../../config/schema-drill.ts';
import { listEvidence } from '../../providers/evidence/index.ts';
import type { PostgresConnection } from '../../providers/postgres/connection.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { readOnly } from '../../providers/postgres/read-only.ts';
import type { ActivityDeps } from '../deps.ts';
import { toResurgoError } from '../failure-mapping.ts';

/** Runs before those that are counted: caches and plans are warm then, as they are in a service. */
const warmUps = 3;

export const performanceName = (check: PerformanceConfig): string => check.name ?? check.sql.replaceAll(/\s+/g, ' ').trim().slice(0, 120);

/** Latency of one query on the restored data. One that cannot be run has failed. */
export async function measure(check: PerformanceConfig, place: { readonly connection: PostgresConnection; readonly database: string; readonly signal: AbortSignal }, baselines: ReadonlyMap<string, number>): Promise<{ readonly check: GroupedCheck; readonly result?: PerformanceResult }> {
  const name = performanceName(check);
  const since = performance.now();
  const took = (): number => Math.round(performance.now() - since);
  try {
    const durations = await withClient(
      place.connection,
      async (client) => {
        const times: number[] = [];
        for (let run = -warmUps; run < check.runs; run++) {
          place.signal.throwIfAborted();
          const begin = performance.now();
          await readOnly(client, check.sql, check.timeout);
          if (run >= 0) times.push(performance.now() - begin);
        }
        return times;
      },
      { database: check.database ?? place.database, signal: place.signal, theirs: true },
    );
    const result: PerformanceResult = { name, ...latencies(durations), limitP95Ms: check.p95Ms ?? null, baselineP95Ms: baselines.get(name) ?? null };
    return { check: { ...judgePerformance(result), durationMs: took() }, result };
  } catch (error) {
    place.signal.throwIfAborted();
    return { check: { group: 'performance', name, outcome: 'failed', detail: toResurgoError(error).message, durationMs: took() } };
  }
}

/** Median p95 of the newest drills of the target, by the name of the check; only documents that are signed by a trusted host count. */
export async function baselinesOf(deps: ActivityDeps, target: string, repositories: readonly string[]): Promise<Map<string, number>> {
  const trusted = await deps.keys.trusted();
  const byName = new Map<string, number[]>();
  for (const repository of repositories) {
    const documents = await deps.stores.open(repository).then((store) => listEvidence(store, { kind: 'drill', target, limit: 10, trusted })).catch(() => undefined);
    if (documents === undefined) continue;
    for (const { evidence } of documents) {
      const measured = evidence?.facts['performance'];
      if (!Array.isArray(measured)) continue;
      for (const { name, p95Ms } of measured as Partial<PerformanceResult>[]) if (typeof name === 'string' && typeof p95Ms === 'number') byName.set(name, [...(byName.get(name) ?? []), p95Ms]);
    }
    break; // one that answers has them all; a second would count each drill twice
  }
  return new Map([...byName].flatMap(([name, values]): [string, number][] => [[name, median(values) ?? 0]]));
}
