/** The one transaction that puts restored sets into the live tables, and the one that brings the old rows back. */
import { ResurgoError } from '../../domain/errors.ts';
import { quoteIdent } from '../postgres/connection.ts';
import { asTheirs, withClient, type PgClient } from '../postgres/postgres-client.ts';
import { childrenFirst, referencesTo, refersTo, type Reference } from './references.ts';
import { asRestoreError, dropStage, keptTable, markStage, stagedMembers, stagedTable, stageSchema, stageState, type Place, type StagedMember } from './stage.ts';
import { columnList, plainSession, qualified, readTable, withTriggers, type TableColumns } from './table-facts.ts';

interface Live {
  readonly oid: number;
  readonly member: StagedMember;
  readonly table: TableColumns;
  /** Rows elsewhere refer to it: what stays must stay the same row. */
  readonly merge: boolean;
}

/** Somebody who holds a table for longer than this makes the restore give up; nothing has changed then. */
const lockTimeout = '60s';

/**
 * Replaces the rows of the live tables by the staged ones, in one transaction, and keeps the old rows in the staging schema.
 * A table that others refer to is merged by its primary key, the others are emptied and filled. Every count is checked before the commit.
 * Idempotency: a second call finds it done. @throws outsideReferences, restoreMismatch, schemaVersion (a column is gone), restoreFailed
 */
export async function replaceRows(place: Place, signal?: AbortSignal): Promise<{ rows: number }> {
  const { connection, database, id } = place;
  return withClient(connection, async (client) => {
    try {
      await plainSession(client);
      const members = await stagedMembers(client, id);
      const rows = members.reduce((sum, member) => sum + member.rows, 0);
      if ((await stageState(client, id)) === 'swapped') return { rows };
      await begin(client);
      const lives = await lockLive(client, members);
      for (const { member, table } of lives) await client.query(`create table ${keptTable(id, member.n)} as select ${columnList(table.columns)} from ${qualified(table)}`);
      await fill(client, lives, (live) => stagedTable(id, live.member.n), (live) => live.member.columns);
      for (const live of lives) await assertCount(client, live, live.member.rows);
      await raiseSequences(client, lives);
      await markStage(client, id, 'swapped');
      await client.query('commit');
      return { rows };
    } catch (error) {
      throw asRestoreError(error, 'putting the sets into the live tables', connection);
    }
  }, { database, signal, theirs: true });
}

/** Brings the rows back that {@link replaceRows} kept. @returns false when nothing had been replaced */
export async function restoreOldRows(place: Place): Promise<boolean> {
  const { connection, database, id } = place;
  const done = await withClient(connection, async (client) => {
    try {
      await plainSession(client);
      if ((await stageState(client, id)) !== 'swapped') return false;
      await begin(client);
      const lives = await lockLive(client, await stagedMembers(client, id));
      await fill(client, lives, (live) => keptTable(id, live.member.n), (live) => live.table.columns.map(({ name }) => name));
      for (const live of lives) {
        const { rows } = await client.query<{ rows: number }>(`select count(*)::float8 as rows from ${keptTable(id, live.member.n)}`);
        await assertCount(client, live, rows[0]?.rows ?? -1);
      }
      await markStage(client, id, 'built');
      await client.query('commit');
      return true;
    } catch (error) {
      throw asRestoreError(error, 'bringing the old rows back', connection);
    }
  }, { database, theirs: true });
  if (done) await dropStage(place);
  return done;
}

async function begin(client: PgClient): Promise<void> {
  await client.query('begin');
  await client.query(`select set_config('lock_timeout', $1, true)`, [lockTimeout]);
  await client.query('set constraints all deferred');
  await withTriggers(client);
}

/** Locks the live tables against writers, for the rest of the transaction, and looks at what they are. */
async function lockLive(client: PgClient, members: readonly StagedMember[]): Promise<Live[]> {
  await client.query(`lock table ${members.map(qualified).join(', ')} in share row exclusive mode`);
  const found: Omit<Live, 'merge'>[] = [];
  for (const member of members) {
    const table = await readTable(client, member);
    if (table === undefined) throw new ResurgoError('restoreFailed', `${member.schema}.${member.name} is gone`);
    assertColumns(member, table);
    found.push({ oid: table.oid, member, table });
  }
  const references = await referencesTo(client, found.map(({ oid }) => oid));
  const outside = (oid: number): Reference[] => references.filter((one) => one.toOid === oid && !found.some((live) => live.oid === one.fromOid));
  const lives = childrenFirst(found, references).map((live) => ({ ...live, merge: outside(live.oid).length > 0 }));
  for (const live of lives) if (live.merge) assertMergeable(live, outside(live.oid));
  return lives;
}

/** A column that the table no longer has cannot be restored in silence. @throws schemaVersion */
export function assertColumns(member: Pick<StagedMember, 'set' | 'schema' | 'name' | 'columns'>, table: TableColumns): void {
  const missing = member.columns.filter((name) => !table.columns.some((column) => column.name === name));
  if (missing.length > 0) throw new ResurgoError('schemaVersion', `set ${member.set}: ${member.schema}.${member.name} has no column ${missing.join(', ')}, which the backup holds`);
}

function assertMergeable(live: Live, outside: readonly Reference[]): void {
  const { table } = live;
  const others = [...new Set(outside.map(({ from }) => from))].join(', ');
  if (table.primaryKey.length === 0 || table.primaryKey.some((column) => !live.member.columns.includes(column))) {
    throw new ResurgoError('outsideReferences', `${table.schema}.${table.name} is referred to by ${others}, and has no primary key in the backup to merge by`);
  }
  const moving = outside.find((one) => 'cnd'.includes(one.onUpdate) && one.toColumns.some((column) => !table.primaryKey.includes(column)));
  if (moving !== undefined) throw new ResurgoError('outsideReferences', `${moving.constraint} of ${moving.from} follows changes of ${table.schema}.${table.name} (${moving.toColumns.join(', ')}): restoring it would change rows outside the sets`);
}

type SourceOf = (live: Live) => string;

/** Rows go from what refers to others first, and come in the other order. Triggers fire, and types of the database's own are compared: with its path. */
async function fill(client: PgClient, lives: readonly Live[], sourceOf: SourceOf, columnsOf: (live: Live) => readonly string[]): Promise<void> {
  for (const live of lives) {
    if (!live.merge) await asTheirs(client, () => client.query(`delete from ${qualified(live.table)}`));
    else {
      const key = live.table.primaryKey.map((column) => `s.${quoteIdent(column)} = t.${quoteIdent(column)}`).join(' and ');
      const gone = `not exists (select 1 from ${sourceOf(live)} s where ${key})`;
      await assertUnreferenced(client, live, gone, lives);
      await asTheirs(client, () => client.query(`delete from ${qualified(live.table)} t where ${gone}`));
    }
  }
  for (const live of [...lives].reverse()) {
    const names = columnsOf(live);
    const typed = names.map((name) => `${quoteIdent(name)}::${live.table.columns.find((column) => column.name === name)?.type ?? 'text'}`);
    const columns = names.map(quoteIdent).join(', ');
    const others = names.filter((name) => !live.table.primaryKey.includes(name)).map((name) => `${quoteIdent(name)} = excluded.${quoteIdent(name)}`);
    const merge = live.merge ? ` on conflict (${live.table.primaryKey.map(quoteIdent).join(', ')}) do ${others.length === 0 ? 'nothing' : `update set ${others.join(', ')}`}` : '';
    await asTheirs(client, () => client.query(`insert into ${qualified(live.table)} (${columns}) overriding system value select ${typed.join(', ')} from ${sourceOf(live)}${merge}`));
  }
}

/** Rows outside the sets that refer to a row which is to go: deleting it would fail, or take them along. @throws outsideReferences */
async function assertUnreferenced(client: PgClient, live: Live, gone: string, lives: readonly Live[]): Promise<void> {
  for (const reference of await referencesTo(client, [live.oid])) {
    if (lives.some((other) => other.oid === reference.fromOid)) continue;
    const { rows } = await asTheirs(client, () => client.query<{ n: number }>(`select pg_catalog.count(*)::pg_catalog.float8 as n from ${reference.from} f where exists (select 1 from ${qualified(live.table)} t where ${refersTo(reference, 'f', 't')} and ${gone})`));
    const n = rows[0]?.n ?? 0;
    if (n > 0) throw new ResurgoError('outsideReferences', `${String(n)} rows of ${reference.from} refer (${reference.constraint}) to rows of ${live.table.schema}.${live.table.name} that are not in the backup`);
  }
}

async function assertCount(client: PgClient, { table, member }: Live, wanted: number): Promise<void> {
  const { rows } = await client.query<{ rows: number }>(`select count(*)::float8 as rows from ${qualified(table)}`);
  const found = rows[0]?.rows ?? -1;
  if (found !== wanted) throw new ResurgoError('restoreMismatch', `set ${member.set}: ${table.schema}.${table.name} would have ${String(found)} rows, not ${String(wanted)}; nothing was changed`, { details: { hint: 'A trigger or rule of the table adds or drops rows; restore beside, or disable it meanwhile.' } });
}

/** A sequence behind the restored values would give them out again. Raising one does no harm if the transaction is undone. */
async function raiseSequences(client: PgClient, lives: readonly Live[]): Promise<void> {
  for (const { table, member } of lives) {
    for (const column of member.columns) {
      const { rows } = await client.query<{ sequence: string | null }>('select pg_catalog.pg_get_serial_sequence($1, $2) as sequence', [qualified(table), column]);
      const sequence = rows[0]?.sequence ?? null;
      if (sequence === null) continue;
      await client.query('savepoint raise_sequence');
      // Without the right to set it, it stays; its owner knows why.
      await client.query(`select setval('${sequence.replaceAll("'", "''")}', max(${quoteIdent(column)})) from ${qualified(table)} having max(${quoteIdent(column)}) > (select last_value from ${sequence})`).then(
        () => client.query('release savepoint raise_sequence'),
        () => client.query('rollback to savepoint raise_sequence'),
      );
    }
  }
}

/**
 * Beside: the staged tables become tables of their own, in one transaction, or fill empty ones that are there; then the staging schema goes.
 * Idempotency: a second call finds it done. @throws destinationNotEmpty
 */
export async function settleBeside(place: Place, signal?: AbortSignal): Promise<{ tables: number }> {
  const { connection, database, id } = place;
  return withClient(connection, async (client) => {
    try {
      await plainSession(client);
      if ((await stageState(client, id)) === 'none') return { tables: 0 };
      const members = await stagedMembers(client, id);
      await client.query('begin');
      const present: { readonly oid: number; readonly member: StagedMember; readonly table: TableColumns; readonly merge: false }[] = [];
      for (const member of members) {
        const table = await readTable(client, member);
        if (table === undefined) {
          if (member.schema !== 'public') await client.query(`create schema if not exists ${quoteIdent(member.schema)}`);
          await client.query(`alter table ${stagedTable(id, member.n)} set schema ${quoteIdent(member.schema)}`);
          await client.query(`alter table ${quoteIdent(member.schema)}.${quoteIdent(`new_${String(member.n)}`)} rename to ${quoteIdent(member.name)}`);
          continue;
        }
        await client.query(`lock table ${qualified(member)} in share row exclusive mode`);
        assertColumns(member, table);
        await assertEmpty(client, member);
        present.push({ oid: table.oid, member, table, merge: false });
      }
      await client.query('set constraints all deferred');
      await withTriggers(client);
      const ordered = childrenFirst(present, await referencesTo(client, present.map(({ oid }) => oid)));
      await fill(client, ordered, (live) => stagedTable(id, live.member.n), (live) => live.member.columns);
      for (const live of ordered) await assertCount(client, live, live.member.rows);
      await raiseSequences(client, ordered);
      await client.query(`drop schema ${quoteIdent(stageSchema(id))} cascade`);
      await client.query('commit');
      return { tables: members.length };
    } catch (error) {
      throw asRestoreError(error, 'settling the restored tables', connection);
    }
  }, { database, signal, theirs: true });
}

/** @throws destinationNotEmpty */
export async function assertEmpty(client: PgClient, table: { readonly schema: string; readonly name: string }): Promise<void> {
  const { rowCount } = await client.query(`select 1 from ${qualified(table)} limit 1`);
  if ((rowCount ?? 0) > 0) throw new ResurgoError('destinationNotEmpty', `${table.schema}.${table.name} exists and has rows`, { details: { hint: 'Choose another database, or use --mode in-place.' } });
}
