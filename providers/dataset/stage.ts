/** The staging schema of one restore of data sets: `resurgo_<restore id>`. Everything a restore makes before its last transaction lies in it. */
import type { SetFacts, SetMember } from '../../domain/dataset.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import { mapPostgresError, quoteIdent, quoteLiteral, type PostgresConnection } from '../postgres/connection.ts';
import { copyIn } from '../postgres/copy-stream.ts';
import { withClient, type PgClient } from '../postgres/postgres-client.ts';
import { columnList, plainSession } from './table-facts.ts';

export interface Place {
  readonly connection: PostgresConnection;
  readonly database: string;
  /** Of the restore. */
  readonly id: string;
}

/** One table to be filled, and the staged table it is filled from. */
export interface StagedMember {
  readonly n: number;
  readonly set: string;
  readonly schema: string;
  readonly name: string;
  readonly rows: number;
  readonly columns: readonly string[];
}

export const stageSchema = (id: string): string => `resurgo_${id}`;
export const stagedTable = (id: string, n: number): string => `${quoteIdent(stageSchema(id))}.${quoteIdent(`new_${String(n)}`)}`;
export const keptTable = (id: string, n: number): string => `${quoteIdent(stageSchema(id))}.${quoteIdent(`old_${String(n)}`)}`;
const membersTable = (id: string): string => `${quoteIdent(stageSchema(id))}.members`;

/** Where a member goes: its table, or for a query without one a table named for its set. */
export function destinationOf(set: SetFacts, member: SetMember): { readonly schema: string; readonly name: string } {
  if (member.table !== undefined) return member.table;
  const nameless = set.members.filter((other) => other.table === undefined);
  return { schema: 'public', name: nameless.length === 1 ? set.name : `${set.name}_${member.name.split('.').at(-1) ?? member.name}` };
}

/** How a restore of data sets stands at its destination. */
export type StageState = 'none' | 'built' | 'swapped';

export async function stageState(client: PgClient, id: string): Promise<StageState> {
  const { rows } = await client.query<{ comment: string | null }>(`select obj_description(oid, 'pg_namespace') as comment from pg_catalog.pg_namespace where nspname = $1`, [stageSchema(id)]);
  if (rows[0] === undefined) return 'none';
  return rows[0].comment === stageComment(id, 'swapped') ? 'swapped' : 'built';
}

const stageComment = (id: string, state: 'built' | 'swapped'): string => `resurgo: restore ${id}, ${state}`;
export const markStage = (client: PgClient, id: string, state: 'built' | 'swapped'): Promise<unknown> =>
  client.query(`comment on schema ${quoteIdent(stageSchema(id))} is ${quoteLiteral(stageComment(id, state))}`);

export const stagedMembers = async (client: PgClient, id: string): Promise<StagedMember[]> =>
  (await client.query<StagedMember>(`select n, set, schema, name, rows::float8 as rows, columns from ${membersTable(id)} order by n`)).rows;

/**
 * Fills the staging schema in one transaction, each table checked by the server's count against the backup's. What an earlier attempt left goes first.
 * @param kept whether the tables themselves become the destination (logged), or are only copied from
 * @throws restoreMismatch, restoreFailed, destinationSpace
 */
export async function buildStage(
  { connection, database, id }: Place,
  { reader, sets, kept, signal, onProgress }: { readonly reader: BackupReader; readonly sets: readonly SetFacts[]; readonly kept: boolean; readonly signal?: AbortSignal; readonly onProgress?: OnProgress },
): Promise<{ rows: number; bytes: number; tables: number }> {
  return withClient(connection, async (client) => {
    try {
      await plainSession(client);
      await client.query('begin');
      await client.query(`drop schema if exists ${quoteIdent(stageSchema(id))} cascade`);
      await client.query(`create schema ${quoteIdent(stageSchema(id))}`);
      await client.query(`create table ${membersTable(id)} (n int primary key, set text, schema text, name text, rows bigint, columns text[])`);
      let n = 0;
      let rows = 0;
      let doneBytes = 0;
      const totalBytes = sets.flatMap((set) => set.members).reduce((sum, member) => sum + member.bytes, 0);
      for (const set of sets) {
        for (const member of set.members) {
          n++;
          const to = destinationOf(set, member);
          const columns = member.columns.map((column) => `${quoteIdent(column.name)} ${column.type}${column.notNull ? ' not null' : ''}`).join(', ');
          await client.query(`create ${kept ? '' : 'unlogged '}table ${stagedTable(id, n)} (${columns})`);
          const phase = `restore ${set.name}: ${member.name}`;
          const done = await copyIn(client, `copy ${stagedTable(id, n)} (${columnList(member.columns)}) from stdin`, counted(reader.stream(member.stream, signal), (bytes) => {
            doneBytes += bytes;
            onProgress?.({ phase, doneBytes, totalBytes });
          }));
          if (done.rows !== member.rows) throw new ResurgoError('restoreMismatch', `${phase}: ${String(done.rows)} rows were restored, the backup has ${String(member.rows)}`);
          await client.query(`insert into ${membersTable(id)} values ($1, $2, $3, $4, $5, $6)`, [n, set.name, to.schema, to.name, member.rows, member.columns.map((column) => column.name)]);
          rows += done.rows;
        }
      }
      await markStage(client, id, 'built');
      await client.query('commit');
      return { rows, bytes: doneBytes, tables: n };
    } catch (error) {
      throw asRestoreError(error, 'filling the staging schema', connection);
    }
  }, { database, signal });
}

async function* counted(source: AsyncIterable<Buffer>, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    yield chunk;
    onBytes(chunk.length);
  }
}

/** A type that the destination does not know is a matter of its schema, not of the backup. */
export function asRestoreError(error: unknown, what: string, connection: PostgresConnection): ResurgoError {
  const mapped = mapPostgresError(error, what, connection, 'restoreFailed');
  const code = (error as { code?: string }).code;
  if (code === '42704') return new ResurgoError('extensionMissing', mapped.message, { cause: error, details: { hint: 'Restore into a database that has these types (its schema, or the extension).' } });
  if (code === '23503') return new ResurgoError('outsideReferences', mapped.message, { cause: error });
  return mapped;
}

/** Counts what lies in the staging schema. @throws restoreMismatch */
export async function verifyStage({ connection, database, id }: Place, signal?: AbortSignal): Promise<{ tables: number; rows: number }> {
  return withClient(connection, async (client) => {
    const members = await stagedMembers(client, id);
    let rows = 0;
    for (const member of members) {
      const counted_ = await client.query<{ rows: number }>(`select count(*)::float8 as rows from ${stagedTable(id, member.n)}`);
      const found = counted_.rows[0]?.rows ?? -1;
      if (found !== member.rows) throw new ResurgoError('restoreMismatch', `${member.set}: ${member.schema}.${member.name} has ${String(found)} rows, the backup has ${String(member.rows)}`);
      rows += found;
    }
    return { tables: members.length, rows };
  }, { database, signal });
}

export async function dropStage({ connection, database, id }: Place): Promise<void> {
  await withClient(connection, async (client) => {
    await client.query(`drop schema if exists ${quoteIdent(stageSchema(id))} cascade`);
  }, { database });
}
