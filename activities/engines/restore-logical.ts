import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { LogicalOnly } from '../../domain/backup.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import { confirmInPlace, keepsInPlace, rollbackInPlace, swapBack, swapIn, workingName, assertNothingKept, keptName } from '../../providers/postgres/in-place-logical.ts';
import { assertDatabaseName, fitName } from '../../providers/postgres/in-place-names.ts';
import { discardDatabase, logicalFacts, restoreLogical, settleDatabase } from '../../providers/postgres/logical-restore.ts';
import { digestDatabase, verifyLogical } from '../../providers/postgres/logical-verify.ts';
import { databaseState, withMaintenance } from '../../providers/postgres/maintenance.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { freeBytes } from '../../providers/host/space.ts';
import type { ActivityDeps } from '../deps.ts';
import { sourceServer } from '../source-server.ts';
import { stagingPath } from '../staging.ts';
import type { PostgresSettings } from '../target-settings.ts';
import type { RestoreEngine } from './restore-engine.ts';

/** Restores one database: built under a working name or its new one, then settled or swapped in by rename. */
export function logicalRestoreEngine(deps: ActivityDeps, settings: PostgresSettings): RestoreEngine {
  const jobs = settings.config.jobs ?? Math.min(4, availableParallelism());
  const stagingOf = (id: string): string => stagingPath(deps, settings.name, id);

  /** The server to restore into, and the database's name there. */
  const placeOf = async (plan: Pick<RestorePlan, 'mode' | 'destination'>): Promise<{ connection: PostgresConnection; database: string }> => {
    if (isUrl(plan.destination)) {
      const connection = resolveConnection(plan.destination);
      return { connection, database: connection.database };
    }
    const { connection } = await destinationServer(settings);
    return { connection, database: plan.destination };
  };
  /** Where the data is built; its own name unless something of that name is in use. */
  const builtName = (plan: RestorePlan, database: string): string => (plan.mode === 'in-place' ? workingName(database, plan.id) : database);
  const onlyOf = (plan: Pick<RestorePlan, 'only'>): LogicalOnly | undefined => (plan.only.length === 0 ? undefined : splitOnly(plan.only));

  return {
    async inspect(input, chain) {
      const last = chain.at(-1);
      const { connection: home } = isUrl(input.to ?? '') ? { connection: resolveConnection(input.to as string) } : await destinationServer(settings);
      const destination = input.mode === 'in-place' ? home.database : input.mode === 'scratch' ? fitName(home.database, `_scratch_${input.id}`) : (input.to as string);
      const { connection, database } = await placeOf({ mode: input.mode ?? 'beside', destination });
      assertDatabaseName(database);
      if (input.mode === 'in-place' && (input.only?.length ?? 0) > 0) throw new ResurgoError('unsupported', '--only restores a part, which cannot take the place of the whole database', { details: { hint: 'Restore it beside (--to) and move the tables over.' } });
      const warnings = await withMaintenance(connection, [database], async (client) => {
        if (input.mode === 'in-place') {
          await assertNothingKept(client, database, input.id);
          const state = await databaseState(client, database);
          return state === undefined ? [`database ${database} does not exist: there is nothing to keep`] : [];
        }
        const state = await databaseState(client, database);
        if (state?.isTemplate === true) throw new ResurgoError('destinationNotEmpty', `database ${database} at ${connection.redacted} is a template: databases are made from it`);
        if (state !== undefined && !/^resurgo: restore \S+, unfinished$/.test(state.comment ?? '') && !(await isEmptyDatabase(connection, database))) {
          throw new ResurgoError('destinationNotEmpty', `database ${database} exists at ${connection.redacted} and is not empty`);
        }
        return [];
      });
      return {
        destination,
        stopsServices: input.mode === 'in-place' && settings.service?.stop !== undefined,
        replaces: input.mode === 'in-place' && warnings.length === 0,
        requiredBytes: last?.bytes.source ?? 0,
        // Staging is what we can see; the server's own disk tells by failing, before anything was swapped.
        freeBytes: await freeBytes(settings.config.staging ?? deps.loaded.stateDir),
        warnings,
      };
    },

    async build(plan, chain, { signal, report }) {
      const { connection, database } = await placeOf(plan);
      const [reader] = chain;
      if (reader === undefined) throw new ResurgoError('bug', 'a restore without a backup');
      const staging = stagingOf(plan.id);
      try {
        const result = await restoreLogical({
          reader, connection, database: builtName(plan, database), id: plan.id, jobs, staging,
          tools: findLogicalTools(settings.toolsDirs), only: onlyOf(plan), signal, onProgress: report,
        });
        return { bytes: result.bytes, files: result.files, records: result.rows, checks: [], warnings: result.warnings };
      } finally {
        await rm(staging, { recursive: true, force: true });
      }
    },

    async verify(plan, chain, { signal, report }) {
      const { connection, database } = await placeOf(plan);
      const [reader] = chain;
      if (reader === undefined) throw new ResurgoError('bug', 'a restore without a backup');
      report({ phase: 'count rows' });
      const built = builtName(plan, database);
      const found = await verifyLogical({ connection, database: built, facts: logicalFacts(reader), jobs, only: onlyOf(plan), signal });
      if (!plan.digest) return { tables: found.tables, rows: found.rows, checks: found.checks };
      report({ phase: 'digest tables' });
      const { tables } = await digestDatabase(connection, { database: built, jobs, signal });
      return { tables: found.tables, rows: found.rows, checks: [...found.checks, 'digests'], digests: Object.fromEntries(tables.map((table) => [`${table.schema}.${table.name}`, table.digest])) };
    },

    async swapIn(plan) {
      const { connection, database } = await placeOf(plan);
      const { kept } = await swapIn({ connection, database, id: plan.id });
      return kept === undefined ? {} : { kept: `database ${kept}` };
    },

    async swapBack(plan) {
      const { connection, database } = await placeOf(plan);
      return swapBack({ connection, database, id: plan.id });
    },

    async settle(plan) {
      const { connection, database } = await placeOf(plan);
      if (plan.mode === 'scratch') {
        await discardDatabase(connection, database, plan.id);
        return `database ${database} was dropped`;
      }
      await settleDatabase({ connection, built: database, database, id: plan.id });
      return `database ${database} is ready`;
    },

    async discard(plan) {
      const { connection, database } = await placeOf(plan);
      await discardDatabase(connection, builtName(plan, database), plan.id);
      await rm(stagingOf(plan.id), { recursive: true, force: true });
      return `database ${builtName(plan, database)} was dropped`;
    },

    async health(plan) {
      const { connection, database } = await placeOf(plan);
      const { rows } = await withClient(connection, (client) => client.query<{ tables: number }>(`select count(*)::int as tables from pg_class where relkind in ('r','p') and relnamespace not in (select oid from pg_namespace where nspname ~ '^(pg_|information_schema)')`), { database });
      return `${database} answers with ${String(rows[0]?.tables ?? 0)} tables`;
    },

    async keeps(plan) {
      const { connection, database } = await placeOf(plan);
      return keepsInPlace({ connection, database, id: plan.id });
    },

    async confirm(plan) {
      const { connection, database } = await placeOf(plan);
      return confirmInPlace({ connection, database, id: plan.id });
    },

    async rollback(plan) {
      const { connection, database } = await placeOf(plan);
      const { failed } = await rollbackInPlace({ connection, database, id: plan.id });
      return `${keptName(database)} is ${database} again${failed === undefined ? '' : `; the restored copy is kept as ${failed}`}`;
    },
  };
}

const isUrl = (text: string): boolean => /^postgres(ql)?:\/\//.test(text);

/** The primary: a restore writes. The database itself may be gone, so only the server has to answer. */
async function destinationServer(settings: PostgresSettings): Promise<{ connection: PostgresConnection }> {
  const [first, ...others] = settings.endpoints;
  if (first === undefined) throw new ResurgoError('configInvalid', `target ${settings.name} has no connection`);
  if (others.length === 0) return { connection: resolveConnection(first.url(), first.overrides()) };
  return sourceServer({ ...settings, config: { ...settings.config, backupFrom: 'primary' } });
}

const isEmptyDatabase = (connection: PostgresConnection, database: string): Promise<boolean> =>
  withClient(connection, async (client) => {
    const { rows } = await client.query<{ n: number }>(`select count(*)::int as n from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`);
    return rows[0]?.n === 0;
  }, { database });

/** `schema` or `schema.table`. */
function splitOnly(parts: readonly string[]): LogicalOnly {
  const tables = parts.filter((part) => /(^|[^"])\.|"\."|"\./.test(part));
  const schemas = parts.filter((part) => !tables.includes(part)).map((part) => (/^".*"$/s.test(part) ? part.slice(1, -1).replaceAll('""', '"') : part));
  return { ...(schemas.length === 0 ? {} : { schemas }), ...(tables.length === 0 ? {} : { tables }) };
}
