import type { LogicalFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { withClient, type PgClient } from './postgres-client.ts';
import type { PostgresConnection } from './connection.ts';
import { assertDatabaseName } from './in-place-names.ts';
import { databaseState, dropDatabase } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';
import { quoteIdent, quoteLiteral } from './quote.ts';

/** What a finished build remembers until it is taken into use. */
export interface BuildNotes {
  /** The comment of the database that was backed up. */
  readonly comment?: string;
  /** Only a part of the database: must never replace a whole one. */
  readonly partial?: true;
}

/** Comment of a database while, and after, a restore fills it; tells a half-built one from anyone's data. */
export const buildMark = (id: string, state: 'unfinished' | 'built', notes: BuildNotes = {}): string =>
  `resurgo: restore ${id}, ${state}${Object.keys(notes).length === 0 ? '' : ` ${JSON.stringify(notes)}`}`;

/** The restore a database was built by, from its comment. */
export const parseBuildMark = (
  comment: string | null | undefined,
): { id: string; state: 'unfinished' | 'built'; notes: BuildNotes } | undefined => {
  const match = /^resurgo: restore (\S+), (unfinished|built)(?: (\{.*\}))?$/s.exec(comment ?? '');
  if (match === null) return undefined;
  try {
    return {
      id: match[1] as string,
      state: match[2] as 'unfinished' | 'built',
      notes: match[3] === undefined ? {} : (JSON.parse(match[3]) as BuildNotes),
    };
  } catch {
    return undefined;
  }
};

/** Whether nobody put anything into a database: no relation, function, type or schema beyond those of template0. */
const isEmpty = (connection: PostgresConnection, database: string, signal: AbortSignal | undefined): Promise<boolean> =>
  withClient(
    connection,
    async (client) => {
      const { rows } = await client.query<{ used: boolean }>(
        `select exists (select 1 from pg_class where oid >= 16384 and relnamespace <> 'pg_toast'::regnamespace)
           or exists (select 1 from pg_proc where oid >= 16384) or exists (select 1 from pg_type where oid >= 16384)
           or exists (select 1 from pg_namespace where oid >= 16384 and nspname !~ '^pg_(temp|toast_temp)_')
           or exists (select 1 from pg_largeobject_metadata) as used`,
      );
      return rows[0]?.used === false;
    },
    { database, signal },
  );

/**
 * Makes way for a database of that name: what an earlier attempt left half-built is dropped, and so is an empty database.
 * @throws destinationNotEmpty (also for a template), destinationBusy, inputInvalid
 */
export const clearDestination = async (
  connection: PostgresConnection,
  client: PgClient,
  database: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<void> => {
  assertDatabaseName(database);
  const state = await databaseState(client, database);
  if (state === undefined) return;
  const mark = parseBuildMark(state.comment);
  if (mark !== undefined && (mark.id === id || mark.state === 'unfinished')) {
    if (mark.id !== id && state.sessions > 0)
      throw new ResurgoError('destinationBusy', `Database ${database} is being filled by restore ${mark.id}`);
    return dropDatabase(connection, client, database);
  }
  if (state.isTemplate)
    throw new ResurgoError('destinationNotEmpty', `Database ${database} on ${connection.redacted} is a template`);
  if (state.sessions > 0 || !state.allowsConnections || !(await isEmpty(connection, database, signal))) {
    throw new ResurgoError(
      'destinationNotEmpty',
      `Database ${database} exists on ${connection.redacted} and is not empty`,
    );
  }
  await dropDatabase(connection, client, database);
};

const localeOptions = (facts: LogicalFacts, serverMajor: number): string[] => {
  const options = [
    `encoding ${quoteLiteral(facts.encoding)}`,
    `lc_collate ${quoteLiteral(facts.collate)}`,
    `lc_ctype ${quoteLiteral(facts.ctype)}`,
  ];
  if (serverMajor < 15) {
    if (facts.localeProvider !== 'libc')
      throw new ResurgoError(
        'unsupported',
        `Database ${facts.database} uses the ${facts.localeProvider} locale provider, which PostgreSQL ${String(serverMajor)} does not have`,
      );
    return options;
  }
  options.push(`locale_provider ${facts.localeProvider}`);
  if (facts.locale !== undefined && facts.localeProvider === 'icu')
    options.push(`icu_locale ${quoteLiteral(facts.locale)}`);
  if (facts.locale !== undefined && facts.localeProvider === 'builtin')
    options.push(`builtin_locale ${quoteLiteral(facts.locale)}`);
  if (facts.properties?.icuRules !== undefined) options.push(`icu_rules ${quoteLiteral(facts.properties.icuRules)}`);
  return options;
};

/**
 * Creates the database as it was (encoding, locale, provider, tablespace where there is one of that name) from template0, marked as unfinished.
 * @throws unsupported when the server does not know encoding, locale or provider
 */
export const createDatabase = async (
  client: PgClient,
  database: string,
  id: string,
  facts: LogicalFacts,
): Promise<string[]> => {
  const warnings: string[] = [];
  const version = await client.query<{ major: number }>(
    `select current_setting('server_version_num')::int / 10000 as major`,
  );
  const options = ['template template0', ...localeOptions(facts, version.rows[0]?.major ?? 0)];
  const tablespace = facts.properties?.tablespace ?? 'pg_default';
  if (tablespace !== 'pg_default') {
    const { rowCount } = await client.query('select 1 from pg_tablespace where spcname = $1', [tablespace]);
    if (rowCount === 1) options.push(`tablespace ${quoteIdent(tablespace)}`);
    else warnings.push(`The server has no tablespace ${tablespace}; the database is in the default one.`);
  }
  try {
    await client.query(`create database ${quoteIdent(database)} with ${options.join(' ')}`);
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code === '42809' || code === '22023' || code === '0A000' || code === '42704' || code === 'XX000') {
      throw new ResurgoError(
        'unsupported',
        `The server cannot make a database of encoding ${facts.encoding}, locale ${facts.locale ?? facts.collate}, provider ${facts.localeProvider}: ${(error as Error).message}`,
        {
          cause: error,
          details: { hint: 'Install the locale (locale-gen) on the server, or a build with ICU.' },
        },
      );
    }
    throw mapPostgresError(error, `creating database ${database}`, undefined, 'restoreFailed');
  }
  await client.query(`comment on database ${quoteIdent(database)} is ${quoteLiteral(buildMark(id, 'unfinished'))}`);
  return warnings;
};
