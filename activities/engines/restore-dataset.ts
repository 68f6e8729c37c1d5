import { assertVersions, chooseSets, type DatasetFacts, type SetFacts } from '../../domain/dataset.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { createPlainDatabase, dropOwnDatabase, keepDatabase, ownDatabase } from '../../providers/dataset/database.ts';
import { readSchemaVersion } from '../../providers/dataset/dump-sets.ts';
import { assertColumns, assertEmpty, replaceRows, restoreOldRows, settleBeside } from '../../providers/dataset/replace.ts';
import { buildStage, destinationOf, dropStage, stageSchema, stageState, verifyStage, type Place } from '../../providers/dataset/stage.ts';
import { readTable } from '../../providers/dataset/table-facts.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { assertDatabaseName } from '../../providers/postgres/in-place-names.ts';
import { databaseState, withMaintenance } from '../../providers/postgres/maintenance.ts';
import { withClient, type PgClient } from '../../providers/postgres/postgres-client.ts';
import type { ActivityDeps } from '../deps.ts';
import { datasetConnection, setDefinitions, type DatasetSettings } from './dataset-settings.ts';
import type { RestoreEngine } from './restore-engine.ts';

const isUrl = (text: string): boolean => /^postgres(ql)?:\/\//.test(text);

/**
 * Restores data sets. Whatever the mode, rows come into a schema of the restore's own first (`resurgo_<id>`), in one transaction, and are counted there.
 * In place one transaction then replaces the live rows and keeps the old ones in that schema; beside one transaction makes tables of them; scratch drops them.
 */
export function datasetRestoreEngine(_deps: ActivityDeps, settings: DatasetSettings): RestoreEngine {
  const placeOf = (plan: Pick<RestorePlan, 'destination' | 'id'>): Place => {
    const connection: PostgresConnection = isUrl(plan.destination) ? resolveConnection(plan.destination) : datasetConnection(settings);
    return { connection, database: isUrl(plan.destination) ? connection.database : plan.destination, id: plan.id };
  };
  const setsOf = (reader: BackupReader, only: readonly string[]): SetFacts[] => {
    const { engine } = reader.index;
    if (engine.engine !== 'dataset') throw new ResurgoError('bug', `a ${engine.engine} backup for a data set`);
    return chooseSets((engine satisfies DatasetFacts).sets, only);
  };
  const readerOf = (chain: readonly BackupReader[]): BackupReader => {
    const [reader] = chain;
    if (reader === undefined) throw new ResurgoError('bug', 'a restore without a backup');
    return reader;
  };

  /** Compares versions, set by set. A set that the configuration does not name has nothing to be compared with: beside, that is a warning. */
  const compareVersions = async (client: PgClient | undefined, sets: readonly SetFacts[], inPlace: boolean): Promise<string[]> => {
    const warnings: string[] = [];
    const definitions = setDefinitions(settings.config);
    for (const set of sets) {
      const configured = definitions.find((definition) => definition.name === set.name)?.schemaVersion;
      if (configured === undefined) {
        if (inPlace) throw new ResurgoError('schemaVersion', `the configuration has no set ${set.name}, so its schema version cannot be compared`, { details: { hint: 'Restore it beside, or name it under sets.' } });
        warnings.push(`set ${set.name} is not in the configuration: its schema version (${set.schemaVersion}) was not compared`);
        continue;
      }
      if (typeof configured !== 'string' && client === undefined) {
        warnings.push(`the destination is new: the schema version of set ${set.name} (${set.schemaVersion}) was not compared`);
        continue;
      }
      const here = typeof configured === 'string' ? configured : await versionAt(client as PgClient, set.name, configured, inPlace);
      if (here === undefined) warnings.push(`the destination does not tell its schema version: that of set ${set.name} (${set.schemaVersion}) was not compared`);
      else assertVersions(set.name, set.schemaVersion, here, settings.config.maxVersionDistance);
    }
    return warnings;
  };

  return {
    async inspect(input, chain, open) {
      const mode = input.mode ?? 'beside';
      if (input.digest === true) throw new ResurgoError('unsupported', '--digest does not go with data sets: every table is compared by its count, every byte by its checksum');
      const home = datasetConnection(settings);
      const destination = mode === 'beside' ? (input.to as string) : home.database;
      const place = placeOf({ destination, id: input.id });
      assertDatabaseName(place.database);
      const sets = setsOf(await open(), input.only ?? []);
      const exists = await withMaintenance(place.connection, [], async (client) => (await databaseState(client, place.database)) !== undefined);
      if (!exists && mode !== 'beside') throw new ResurgoError('sourceDenied', `database ${place.database} does not exist at ${place.connection.redacted}`, { details: { hint: 'Create it with its schema, or restore beside (--to).' } });
      const inPlace = mode === 'in-place';
      const warnings = !exists
        ? await compareVersions(undefined, sets, false)
        : await withClient(place.connection, async (client) => {
            for (const set of sets) {
              for (const member of set.members) {
                if (inPlace && member.table === undefined) throw new ResurgoError('unsupported', `set ${set.name} holds query ${member.name}, which has no table to go into`, { details: { hint: 'Restore it beside (--to), leave the set out (--only), or name a table for the query.' } });
                const to = destinationOf(set, member);
                const table = await readTable(client, to);
                if (inPlace && (table === undefined || (table.kind !== 'table' && table.kind !== 'partitioned'))) throw new ResurgoError('restoreFailed', `set ${set.name}: there is no table ${to.schema}.${to.name} in ${place.database}`);
                if (table === undefined) continue;
                if (mode !== 'scratch') assertColumns({ set: set.name, ...to, columns: member.columns.map(({ name }) => name) }, table);
                if (mode === 'beside') await assertEmpty(client, to);
              }
            }
            return compareVersions(client, sets, inPlace);
          }, { database: place.database, theirs: true });
      return {
        destination,
        stopsServices: inPlace && settings.service?.stop !== undefined,
        replaces: inPlace,
        requiredBytes: chain.at(-1)?.bytes.source ?? 0,
        // The server's own disk tells by failing, before anything was replaced.
        freeBytes: null,
        warnings,
      };
    },

    async build(plan, chain, { signal, report }) {
      const place = placeOf(plan);
      const reader = readerOf(chain);
      if (plan.mode === 'beside') await createPlainDatabase(place);
      else if (plan.mode === 'in-place') {
        const state = await withClient(place.connection, (client) => stageState(client, plan.id), { database: place.database });
        if (state === 'swapped') throw new ResurgoError('bug', `restore ${plan.id} has been put into place already`);
      }
      const built = await buildStage(place, { reader, sets: setsOf(reader, plan.only), kept: plan.mode === 'beside', signal, onProgress: report });
      return { bytes: built.bytes, files: built.tables, records: built.rows, checks: ['row counts of the server'], warnings: [] };
    },

    async verify(plan, _chain, { signal, report }) {
      report({ phase: 'count rows' });
      const found = await verifyStage(placeOf(plan), signal);
      return { tables: found.tables, rows: found.rows, checks: ['row counts'] };
    },

    async swapIn(plan) {
      const place = placeOf(plan);
      await replaceRows(place);
      return { kept: `schema ${stageSchema(plan.id)} of ${place.database}` };
    },

    async swapBack(plan) {
      return (await restoreOldRows(placeOf(plan))) ? 'the old rows are back' : 'the live tables were never touched';
    },

    async settle(plan) {
      const place = placeOf(plan);
      if (plan.mode === 'scratch') {
        await dropStage(place);
        return `schema ${stageSchema(plan.id)} was dropped`;
      }
      const { tables } = await settleBeside(place);
      await keepDatabase(place);
      return `${String(tables)} tables are in ${place.database}`;
    },

    async discard(plan) {
      const place = placeOf(plan);
      if (plan.mode === 'beside' && (await ownDatabase(place))) {
        await dropOwnDatabase(place);
        return `database ${place.database} was dropped`;
      }
      await dropStage(place).catch((error: unknown) => {
        // No such database: nothing was built.
        if (!(error instanceof ResurgoError) || error.details['sqlState'] !== '3D000') throw error;
      });
      return `schema ${stageSchema(plan.id)} was dropped`;
    },

    async health(plan) {
      const place = placeOf(plan);
      await withClient(place.connection, (client) => client.query('select 1'), { database: place.database });
      return `${place.database} answers`;
    },

    async keeps(plan) {
      const place = placeOf(plan);
      return withClient(place.connection, async (client) => (await stageState(client, plan.id)) === 'swapped', { database: place.database });
    },

    async confirm(plan) {
      const place = placeOf(plan);
      const state = await withClient(place.connection, (client) => stageState(client, plan.id), { database: place.database });
      await dropStage(place);
      return state === 'none' ? 'the old rows are gone already' : `the old rows in schema ${stageSchema(plan.id)} were dropped`;
    },

    async rollback(plan) {
      if (!(await restoreOldRows(placeOf(plan)))) throw new ResurgoError('inputInvalid', `there are no kept rows of restore ${plan.id}: it was confirmed or rolled back before`);
      return 'the old rows are back; what was written since is gone';
    },
  };
}

/** Undefined, beside, where the destination has nothing that tells it. */
async function versionAt(client: PgClient, set: string, query: { readonly query: string }, inPlace: boolean): Promise<string | undefined> {
  try {
    return await readSchemaVersion(client, set, query);
  } catch (error) {
    const absent = (error as { code?: string }).code === '42P01' || (error instanceof ResurgoError && error.code === 'configInvalid');
    if (absent && !inPlace) return undefined;
    throw error instanceof ResurgoError ? error : new ResurgoError('schemaVersion', `the schema version of set ${set} cannot be read at the destination: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
