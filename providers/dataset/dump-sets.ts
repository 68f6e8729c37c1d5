import type { DatasetFacts, SetFacts, SetMember } from '../../domain/dataset.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import { mapPostgresError, type PostgresConnection } from '../postgres/connection.ts';
import { copyOut } from '../postgres/copy-stream.ts';
import { CopyLines } from './copy-lines.ts';
import { asTheirs, withClient, type PgClient } from '../postgres/postgres-client.ts';
import { columnList, parseTableName, plainSession, qualified, readQueryColumns, readTable } from './table-facts.ts';

/** What the configuration says of a set. */
export interface SetDefinition {
  readonly name: string;
  readonly tables: readonly string[];
  readonly queries: readonly { readonly name: string; readonly sql: string; readonly table?: string }[];
  /** A version, or the query that tells it. */
  readonly schemaVersion: string | { readonly query: string };
}

export interface DumpSetsOptions {
  readonly connection: PostgresConnection;
  readonly sets: readonly SetDefinition[];
  readonly writer: BackupWriter;
  readonly lockTimeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** A table that somebody has locked for longer than this fails the backup instead of holding it for ever. */
const lockTimeoutMs = 60_000;

/**
 * Reads all sets in one REPEATABLE READ READ ONLY transaction: one snapshot, whatever the number of sets.
 * @throws sourceUnreachable, sourceDenied, configInvalid (no such table, a query that is none), dumpFailed
 */
export async function dumpSets(options: DumpSetsOptions): Promise<DatasetFacts> {
  const { connection, signal } = options;
  return withClient(connection, async (client) => {
    try {
      await plainSession(client);
      await client.query(`select set_config('lock_timeout', $1, false)`, [String(options.lockTimeoutMs ?? lockTimeoutMs)]);
      await client.query('begin isolation level repeatable read read only');
      const { rows } = await client.query<{ at: string; lsn: string | null; version: string; encoding: string; database: string }>(
        `select to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as lsn,
           split_part(current_setting('server_version'), ' ', 1) as version, current_setting('server_encoding') as encoding, current_database()::text as database`,
      );
      const [head] = rows;
      if (head === undefined) throw new ResurgoError('bug', 'the server gave no facts');
      const sets: SetFacts[] = [];
      for (const [i, set] of options.sets.entries()) sets.push(await dumpSet(client, set, i + 1, options));
      await client.query('commit');
      const facts: DatasetFacts = { engine: 'dataset', database: head.database, serverVersion: head.version, encoding: head.encoding, snapshot: { at: head.at, ...(head.lsn === null ? {} : { lsn: head.lsn }) }, sets };
      // Which stream is what, for whoever opens the backup by hand; and sets that are all empty are a backup too.
      const about = options.writer.openStream('dataset.json', 'blob');
      await about.write(Buffer.from(`${JSON.stringify(facts, null, 1)}\n`));
      await about.end();
      return facts;
    } catch (error) {
      throw mapPostgresError(error, 'reading the data sets', connection);
    }
  }, { signal, theirs: true });
}

async function dumpSet(client: PgClient, set: SetDefinition, n: number, options: DumpSetsOptions): Promise<SetFacts> {
  const schemaVersion = await readSchemaVersion(client, set.name, set.schemaVersion);
  const members: SetMember[] = [];
  const streamOf = (): string => `s${String(n).padStart(3, '0')}-m${String(members.length + 1).padStart(4, '0')}.copy`;
  for (const table of set.tables) {
    const name = parseTableName(table);
    const facts = await readTable(client, name);
    if (facts === undefined) throw new ResurgoError('configInvalid', `set ${set.name}: there is no table ${name.schema}.${name.name}`, { details: { hint: 'Name it as it is stored, with its schema.' } });
    if (facts.kind === 'other') throw new ResurgoError('unsupported', `set ${set.name}: ${name.schema}.${name.name} is a foreign table; name a query instead`);
    const stream = streamOf();
    const from = facts.kind === 'table' ? `${qualified(name)} (${columnList(facts.columns)})` : `(select ${columnList(facts.columns)} from ${qualified(name)})`;
    const done = await copyMember(client, from, stream, `${set.name}: ${name.schema}.${name.name}`, options);
    members.push({ kind: facts.kind === 'view' ? 'query' : 'table', name: `${name.schema}.${name.name}`, ...(facts.kind === 'view' ? {} : { table: name }), columns: facts.columns, stream, ...done });
  }
  for (const query of set.queries) {
    const columns = await readQueryColumns(client, query.name, query.sql);
    const stream = streamOf();
    const done = await copyMember(client, `(select ${columnList(columns)} from (${query.sql}\n) as q)`, stream, `${set.name}: query ${query.name}`, options);
    members.push({ kind: 'query', name: query.name, ...(query.table === undefined ? {} : { table: parseTableName(query.table) }), columns, stream, ...done });
  }
  return { name: set.name, schemaVersion, members };
}

async function copyMember(client: PgClient, from: string, stream: string, what: string, { writer, onProgress }: DumpSetsOptions): Promise<{ rows: number; bytes: number }> {
  const sink = writer.openStream(stream, 'blob');
  const lines = new CopyLines();
  // Functions of a view may need the path as much as a query does.
  const done = await asTheirs(client, () => copyOut(client, `copy ${from} to stdout`, (chunk) => {
    lines.push(chunk);
    if ((lines.rows & 1023) === 0) onProgress?.({ phase: `read ${what}`, doneBytes: writer.sourceBytes });
    return sink.write(chunk);
  }));
  await sink.end();
  if (done.rows !== lines.rows || !lines.whole) throw new ResurgoError('dumpFailed', `${what}: the server says ${String(done.rows)} rows, ${String(lines.rows)} came`);
  return { rows: done.rows, bytes: lines.bytes };
}

/** The version a set is at, here and now; the session is one for queries of the configuration (`theirs`). @throws configInvalid when the query gives not one value */
export async function readSchemaVersion(client: PgClient, set: string, version: SetDefinition['schemaVersion']): Promise<string> {
  if (typeof version === 'string') return version;
  const { rows } = await asTheirs(client, () => client.query<Record<string, unknown>>(version.query));
  const values = rows[0] === undefined ? [] : Object.values(rows[0]);
  if (rows.length !== 1 || values.length !== 1 || values[0] === null || values[0] === undefined) {
    throw new ResurgoError('configInvalid', `set ${set}: its schemaVersion query gave ${String(rows.length)} rows of ${String(values.length)} values; it must give one row with one value`);
  }
  const [value] = values;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
