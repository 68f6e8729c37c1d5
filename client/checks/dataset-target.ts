import type { DatasetTargetConfig } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { parseTableName, readQueryColumns, readTable } from '../../providers/dataset/table-facts.ts';
import { readSchemaVersion } from '../../providers/dataset/dump-sets.ts';
import { mapPostgresError, resolveConnection } from '../../providers/postgres/connection.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { Findings, type CheckScope } from './finding.ts';
import type { CheckedTarget } from './targets.ts';

/** Reaches the database and looks at every table, query and schema version that the sets name. */
export async function checkDataset({ env, signal }: CheckScope, name: string, target: DatasetTargetConfig): Promise<CheckedTarget> {
  const findings = new Findings('target', name);
  try {
    const { password } = target;
    const connection = resolveConnection(resolveSecret(target.connection, `targets.${name}.connection`, env), password === undefined ? {} : { password: resolveSecret(password, `targets.${name}.password`, env) });
    await withClient(connection, async (client) => {
      const version = await client.query<{ version: string }>(`select split_part(current_setting('server_version'), ' ', 1) as version`);
      findings.ok(`PostgreSQL ${version.rows[0]?.version ?? '?'} at ${connection.redacted}`);
      for (const [set, definition] of Object.entries(target.sets)) {
        const problems: string[] = [];
        const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
          await work().catch((error: unknown) => problems.push(mapPostgresError(error, what, connection).message));
        };
        for (const text of definition.tables ?? []) {
          await attempt(`looking at ${text}`, async () => {
            const table = parseTableName(text);
            if ((await readTable(client, table)) === undefined) problems.push(`there is no table ${table.schema}.${table.name}`);
            else await client.query(`select 1 from "${table.schema.replaceAll('"', '""')}"."${table.name.replaceAll('"', '""')}" limit 0`);
          });
        }
        for (const [query, { sql }] of Object.entries(definition.queries ?? {})) await attempt(`trying query ${query}`, () => readQueryColumns(client, query, sql));
        const schemaVersion = definition.schemaVersion ?? target.schemaVersion;
        let shown = '?';
        if (schemaVersion !== undefined) await attempt('reading the schema version', async () => { shown = await readSchemaVersion(client, set, schemaVersion); });
        if (problems.length === 0) findings.ok(`set ${set} at schema version ${shown}`);
        for (const problem of problems) findings.fail(`set ${set}: ${problem}`, 'Correct the set, or give the role the right to read it.', 'configInvalid');
      }
    }, { signal, theirs: true });
  } catch (error) {
    findings.error(error);
  }
  return { findings: findings.list };
}
