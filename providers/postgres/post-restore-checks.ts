import { ResurgoError } from '../../domain/errors.ts';
import type { OnProgress } from '../../domain/ports.ts';
import type { PostgresConnection } from './connection.ts';
import type { PgClient } from './postgres-client.ts';
import { withClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

export interface ClusterCheckOptions {
  /** As superuser. */
  readonly connection: PostgresConnection;
  /** `quick`: catalogs are readable, indexes are sound, visibility maps tell the truth; `full`: also every row is read and counted both ways. */
  readonly depth: 'quick' | 'full';
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress;
}

export interface ClusterCheck {
  readonly databases: number;
  /** Their names. */
  readonly names: readonly string[];
  readonly tables: number;
  /** Counted by reading; only with depth `full`. */
  readonly rows: number | undefined;
  /** In words. */
  readonly checks: readonly string[];
  /** What could not be looked at, and why. */
  readonly warnings: readonly string[];
}

interface Relation {
  readonly oid: number;
  readonly name: string;
  readonly kind: string;
}

const relationsSql = `
select c.oid::int8::int as oid, format('%I.%I', n.nspname, c.relname) as name, c.relkind::text as kind
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'm', 't') and c.relpersistence = 'p' order by c.oid`;

const indexesSql = `
select i.indexrelid::int8::int as oid, format('%I.%I', n.nspname, c.relname) as name, 'i' as kind
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = c.relam
where a.amname = 'btree' and i.indisvalid and i.indisready and c.relpersistence = 'p' and c.relkind = 'i' order by 1`;

/** Collects what the checks of one cluster find. */
class Findings {
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  readonly done = new Set<string>();
  databases = 0;
  tables = 0;
  rows = 0;
}

/** Schema of an extension, installed for this transaction only where it is not there yet; undefined where the server lacks it. */
async function extensionSchema(client: PgClient, name: string): Promise<string | undefined> {
  const available = await client.query('select 1 from pg_available_extensions where name = $1', [name]);
  if (available.rowCount === 0) return undefined;
  await client.query(`create extension if not exists ${quoteIdent(name)} schema pg_catalog`).catch(async () => {
    throw new Error(`extension ${name} cannot be used`);
  });
  const { rows } = await client.query<{ schema: string }>(
    'select n.nspname::text as schema from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = $1',
    [name],
  );
  return rows[0] && quoteIdent(rows[0].schema);
}

/** Runs `work` so that its failure neither ends the transaction nor the check. */
async function guarded(client: PgClient, findings: Findings, what: string, work: () => Promise<void>): Promise<void> {
  await client.query('savepoint look');
  try {
    await work();
    await client.query('release savepoint look');
  } catch (error) {
    await client.query('rollback to savepoint look');
    const code = (error as { code?: string }).code ?? '';
    // Damage says so by class XX (internal error, data or index corrupted); other errors mean that it could not be looked at.
    const where = code.startsWith('XX') ? findings.problems : findings.warnings;
    where.push(`${what}: ${(error as Error).message}`);
  }
}

const numberOf = async (client: PgClient, sql: string, values: unknown[] = []): Promise<number> => {
  const { rows } = await client.query<{ n: string }>(sql, values);
  return Number(rows[0]?.n ?? 0);
};

/** Plans that must count the same; a wrong visibility map makes the first one differ. */
async function countBothWays(client: PgClient, relation: Relation, label: string, findings: Findings): Promise<void> {
  const count = `select count(*) as n from ${relation.kind === 'r' || relation.kind === 'm' ? `only ${relation.name}` : relation.name}`;
  const sql = relation.kind === 'm' ? count.replace('only ', '') : count;
  await client.query(
    'set local enable_seqscan = on; set local enable_indexonlyscan = off; set local enable_indexscan = off; set local enable_bitmapscan = off',
  );
  const sequential = await numberOf(client, sql);
  findings.rows += sequential;
  await client.query(
    'set local enable_seqscan = off; set local enable_indexonlyscan = on; set local enable_indexscan = off; set local enable_bitmapscan = off',
  );
  const { rows: plan } = await client.query<{ 'QUERY PLAN': string }>(`explain ${sql}`);
  if (!plan.some((line) => line['QUERY PLAN'].includes('Index Only Scan'))) return;
  findings.done.add('index-only and sequential counts agree');
  const indexOnly = await numberOf(client, sql);
  if (indexOnly !== sequential)
    findings.problems.push(`${label}: an index-only scan counts ${indexOnly} rows, a sequential scan ${sequential}`);
}

async function checkDatabase(
  client: PgClient,
  name: string,
  options: ClusterCheckOptions,
  findings: Findings,
): Promise<void> {
  // Rolled back at the end: the extensions leave no trace in the restored database.
  await client.query('begin');
  await client.query(
    `set local lock_timeout = '10s'`,
  );
  const schemas: Partial<Record<'pg_visibility' | 'amcheck', string>> = {};
  for (const extension of ['pg_visibility', 'amcheck'] as const) {
    await guarded(client, findings, `${name}: ${extension}`, async () => {
      const schema = await extensionSchema(client, extension);
      if (schema !== undefined) schemas[extension] = schema;
    });
    if (schemas[extension] === undefined && findings.databases === 0)
      findings.warnings.push(`The server has no extension ${extension}; its checks were left out.`);
  }
  const { rows: relations } = await client.query<Relation>(relationsSql);
  for (const relation of relations) {
    options.signal?.throwIfAborted();
    const label = `${name}: ${relation.name}`;
    const { pg_visibility: visibility, amcheck } = schemas;
    if (visibility !== undefined) {
      await guarded(client, findings, label, async () => {
        const wrong = await numberOf(
          client,
          `select (select count(*) from ${visibility}.pg_check_visible($1::oid::regclass)) + (select count(*) from ${visibility}.pg_check_frozen($1::oid::regclass)) as n`,
          [relation.oid],
        );
        findings.done.add('pg_check_visible and pg_check_frozen');
        if (wrong > 0) findings.problems.push(`${label}: the visibility map is wrong about ${wrong} rows`);
      });
    }
    if (amcheck !== undefined && options.depth === 'full') {
      await guarded(client, findings, label, async () => {
        const { rows } = await client.query<{ msg: string }>(
          // With every argument: a shorter function of the same name, by the owner of the schema it lies in, would fit better than its defaults.
          `select msg from ${amcheck}.verify_heapam($1::oid::regclass, false, false, 'none'::text, null::bigint, null::bigint) limit 3`,
          [relation.oid],
        );
        findings.done.add('verify_heapam');
        for (const { msg } of rows) findings.problems.push(`${label}: ${msg}`);
      });
    }
    if (options.depth === 'full' && relation.kind !== 't')
      await guarded(client, findings, label, () => countBothWays(client, relation, label, findings));
    if (relation.kind !== 't') findings.tables += 1;
  }
  const { amcheck } = schemas;
  if (amcheck !== undefined) {
    const { rows: indexes } = await client.query<Relation>(indexesSql);
    for (const index of indexes) {
      options.signal?.throwIfAborted();
      await guarded(client, findings, `${name}: ${index.name}`, async () => {
        await client.query(`select ${amcheck}.bt_index_check($1::oid::regclass, $2::boolean)`, [
          index.oid,
          options.depth === 'full',
        ]);
        findings.done.add(options.depth === 'full' ? 'bt_index_check (heapallindexed)' : 'bt_index_check');
      });
    }
  }
  await client.query('rollback');
}

/**
 * Looks at every database of a restored, running cluster and leaves no trace in it.
 * @throws restoreMismatch naming what is damaged, cancelled
 */
export async function checkCluster(options: ClusterCheckOptions): Promise<ClusterCheck> {
  const { connection, signal } = options;
  const findings = new Findings();
  const names = await withClient(
    connection,
    async (client) => {
      const { rows } = await client.query<{ name: string }>(
        'select datname::text as name from pg_database where datallowconn order by 1',
      );
      return rows.map(({ name }) => name);
    },
    { signal },
  );
  for (const [i, name] of names.entries()) {
    options.onProgress?.({ phase: 'check', note: `database ${name} (${i + 1} of ${names.length})` });
    await withClient(connection, (client) => checkDatabase(client, name, options, findings), {
      database: name,
      signal,
    });
    findings.databases += 1;
  }
  if (findings.problems.length > 0) {
    const more = findings.problems.length > 5 ? ` and ${findings.problems.length - 5} more` : '';
    throw new ResurgoError(
      'restoreMismatch',
      `The restored cluster is damaged: ${findings.problems.slice(0, 5).join('; ')}${more}.`,
      { details: { problems: findings.problems.slice(0, 100) } },
    );
  }
  return {
    databases: findings.databases,
    names,
    tables: findings.tables,
    rows: options.depth === 'full' ? findings.rows : undefined,
    checks: [...findings.done],
    warnings: findings.warnings,
  };
}
