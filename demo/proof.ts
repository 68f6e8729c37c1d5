import { type DatabaseDigest, digestDatabase } from '../providers/postgres/logical-digest.ts';
import { resolveConnection } from '../providers/postgres/connection.ts';
import type { PostgresServer } from '../test/support/index.ts';
import { formatTable } from '../client/text.ts';
import { DemoError } from './children.ts';
import type { Stage } from './stage.ts';

/** Digest of every table, sequence and large object of a database. */
export const digestOf = (stage: Stage, server: PostgresServer, database: string): Promise<DatabaseDigest> =>
  stage.screen.busy(
    () => `digest of every row of ${database}`,
    () => digestDatabase(resolveConnection(server.url(database)), { jobs: 2, signal: stage.signal }),
  );

const short = (text: string): string => {
  let hash = 0n;
  for (const char of text) hash = (hash * 1_000_003n + BigInt(char.codePointAt(0) ?? 0)) & 0xffff_ffffn;
  return hash.toString(16).padStart(8, '0');
};

/** Compares two databases table by table and shows it, or shows only what differs. @throws DemoError naming that */
export function proveSame(
  stage: Stage,
  before: DatabaseDigest,
  after: DatabaseDigest,
  show: 'all' | 'different' = 'all',
): void {
  const later = new Map(after.tables.map((table) => [`${table.schema}.${table.name}`, table]));
  const rows = before.tables.map((table) => {
    const name = `${table.schema}.${table.name}`;
    const now = later.get(name);
    const same = now?.digest === table.digest && now.rows === table.rows;
    return {
      name: table.name,
      kind: table.kind,
      rows: table.rows,
      before: short(table.digest),
      after: now === undefined ? 'missing' : short(now.digest),
      same,
    };
  });
  const text = formatTable(
    [{ title: 'table' }, { title: 'rows', right: true }, { title: 'before' }, { title: 'after' }, { title: '' }],
    rows.map((row) => [
      row.name,
      row.kind === 'sequence' ? '' : row.rows.toLocaleString('en'),
      row.before,
      row.after,
      row.same ? 'same' : 'DIFFERENT',
    ]),
  );
  const wrong = rows.filter((row) => !row.same).map((row) => row.name);
  if (show === 'all' || wrong.length > 0) for (const line of text.split('\n')) stage.screen.output(line);
  if (wrong.length > 0) throw new DemoError(`the restored database differs in ${wrong.join(', ')}`);
  if (before.digest !== after.digest)
    throw new DemoError('the restored database has more or other objects than before');
}
