import { rowsStream, type ArchiveFacts, type ArchiveStep } from '../../domain/archive.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import { mapPostgresError, quoteIdent, type PostgresConnection } from '../postgres/connection.ts';
import { copyOut } from '../postgres/copy-stream.ts';
import { asTheirs, withClient } from '../postgres/postgres-client.ts';
import { referencesTo } from '../dataset/references.ts';
import { plainSession, readTable } from '../dataset/table-facts.ts';
import { digestSql, formatKeys, type RowKey } from './row-keys.ts';
import { dueSql, fromTable, unreferencedSql } from './select-rows.ts';

export interface DumpRowsOptions {
  readonly connection: PostgresConnection;
  readonly step: ArchiveStep;
  readonly writer: BackupWriter;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

const tab = 9;
const newline = 10;
/** What stands before the row's own columns: ctid, xmin, digest, time. */
const prefixFields = 4;

/**
 * Writes one batch of due rows, oldest first, and notes how each will be known again. One snapshot; nothing is locked.
 * @throws dumpEmpty when no row is due, configInvalid, sourceDenied, dumpFailed
 */
export async function dumpRows({ connection, step, writer, signal, onProgress }: DumpRowsOptions): Promise<{ facts: ArchiveFacts; keys: string }> {
  const { table, cutoff } = step;
  const what = `${table.schema}.${table.name}`;
  return withClient(connection, async (client) => {
    try {
      await plainSession(client);
      await client.query(`select set_config('lock_timeout', '60s', false)`);
      await client.query('begin isolation level repeatable read read only');
      const { rows: heads } = await client.query<{ at: string; lsn: string; version: string; encoding: string; database: string }>(
        `select to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, pg_current_wal_lsn()::text as lsn, split_part(current_setting('server_version'), ' ', 1) as version,
           current_setting('server_encoding') as encoding, current_database()::text as database`,
      );
      const [head] = heads;
      const found = await readTable(client, table);
      if (head === undefined || found === undefined) throw new ResurgoError('configInvalid', `there is no table ${what}`);
      const columns = found.columns;
      const references = await referencesTo(client, [found.oid]);
      const time = table.column === null ? `null::pg_catalog.text` : `t.${quoteIdent(table.column)}::pg_catalog.text`;
      const order = table.column === null ? '' : ` order by t.${quoteIdent(table.column)}`;
      const select = `select t.ctid, t.xmin, ${digestSql('t')}, ${time}, ${columns.map(({ name }) => `t.${quoteIdent(name)}`).join(', ')} ${fromTable(table)} where ${dueSql(table, cutoff)}${unreferencedSql(references)}${order} limit ${String(step.batch)}`;
      const sink = writer.openStream(rowsStream, 'blob');
      const keys: RowKey[] = [];
      let bytes = 0;
      let from: string | null = null;
      let to: string | null = null;
      const split = (line: Buffer): Promise<void> | undefined => {
        const ends: number[] = [];
        for (let at = line.indexOf(tab); at >= 0 && ends.length < prefixFields; at = line.indexOf(tab, at + 1)) ends.push(at);
        const start = ends[prefixFields - 1];
        if (start === undefined || line.at(-1) !== newline) throw new ResurgoError('dumpFailed', `${what}: the server sent a row that is none`);
        const [ctid = '', xmin = '', digest = '', at = ''] = line.toString('latin1', 0, start).split('\t');
        keys.push({ ctid, xmin, digest });
        if (at !== '\\N') {
          from ??= at;
          to = at;
        }
        const row = line.subarray(start + 1);
        bytes += row.length;
        if ((keys.length & 1023) === 0) onProgress?.({ phase: `read ${what}`, doneBytes: bytes });
        return sink.write(row);
      };
      const done = await asTheirs(client, () => copyOut(client, `copy (${select}) to stdout`, split));
      await sink.end();
      await client.query('commit');
      if (done.rows !== keys.length) throw new ResurgoError('dumpFailed', `${what}: the server says ${String(done.rows)} rows, ${String(keys.length)} came`);
      if (keys.length === 0) throw new ResurgoError('dumpEmpty', `no row of ${what} is due`);
      const facts: ArchiveFacts = {
        engine: 'archive', database: head.database, serverVersion: head.version, encoding: head.encoding, run: step.run, cutoff, snapshot: { at: head.at, lsn: head.lsn },
        table, columns, rows: keys.length, bytes, from, to,
      };
      const about = writer.openStream('archive.json', 'blob');
      await about.write(Buffer.from(`${JSON.stringify(facts, null, 1)}\n`));
      await about.end();
      return { facts, keys: formatKeys(keys) };
    } catch (error) {
      throw mapPostgresError(error, `reading the due rows of ${what}`, connection);
    }
  }, { signal, theirs: true });
}
