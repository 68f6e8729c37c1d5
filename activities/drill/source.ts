import type { SourceMoment } from '../../domain/drill.ts';
import { drillOf } from '../../config/lookup.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { numberOf, timeOf } from '../../providers/postgres/read-only.ts';
import type { ActivityDeps } from '../deps.ts';
import { toResurgoError } from '../failure-mapping.ts';
import { targetSettings } from '../target-settings.ts';

/** A source that does not answer is what a drill is for: it is not waited for long. */
const connectTimeoutMs = 5000;
const queryTimeoutMs = 60_000;

/** What the source has at the moment the drill takes for the disaster. Effect: none, reads only. Never fails: a source that is down is told. */
export async function observeSource(deps: ActivityDeps, target: string): Promise<SourceMoment> {
  const settings = targetSettings(deps, target);
  const drill = drillOf(deps.loaded.config, target);
  let moment: SourceMoment = { at: new Date().toISOString(), reachable: false, marker: null, records: null };
  for (const endpoint of settings.endpoints) {
    try {
      const connection = resolveConnection(endpoint.url(), { ...endpoint.overrides(), applicationName: 'resurgo-drill', connectTimeoutMs });
      const database = drill?.database ?? connection.database;
      return await withClient(
        connection,
        async (client) => {
          const at = (await timeOf(client, 'select pg_catalog.clock_timestamp()', queryTimeoutMs)) ?? moment.at;
          const marker = drill?.marker === undefined ? null : await timeOf(client, drill.marker, queryTimeoutMs);
          const records = drill?.records === undefined ? null : await numberOf(client, drill.records, queryTimeoutMs);
          return { at, reachable: true, marker, records };
        },
        { database, theirs: true },
      );
    } catch (error) {
      moment = { ...moment, problem: `${endpoint.name}: ${toResurgoError(error).message}` };
    }
  }
  return moment;
}
