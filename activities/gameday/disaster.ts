/** Makes the disaster happen to the sandbox, and proves that it has. */
import { appendFile, open, readdir, readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { describeDisaster, tableDisasters, type Disaster, type Sandbox } from '../../domain/gameday.ts';
import { processState } from '../../providers/host/processes.ts';
import { clusterProcesses } from '../../providers/postgres/cluster-processes.ts';
import { asTheirs, withClient, type PgClient } from '../../providers/postgres/postgres-client.ts';
import { quoteIdent } from '../../providers/postgres/quote.ts';
import { releaseSharedMemory } from '../../providers/postgres/shared-memory.ts';
import { currentContext } from '../failure-mapping.ts';
import { withPulse } from '../heartbeat.ts';
import { controlServer, sandboxConnection, silence } from './server.ts';

export interface InjectedDisaster {
  /** When it had happened, ISO. */
  readonly at: string;
  readonly detail: string;
}

/** @throws inputInvalid */
export function assertDisaster({ kind, table, where }: Disaster): void {
  const ofTable = tableDisasters.includes(kind);
  if (ofTable && table === undefined) throw new ResurgoError('inputInvalid', `disaster ${kind} needs a table`, { details: { hint: 'Give --table, or table: in the configuration.' } });
  if (!ofTable && table !== undefined) throw new ResurgoError('inputInvalid', `disaster ${kind} happens to no table; leave table out`);
  if (where !== undefined && kind !== 'rows-deleted') throw new ResurgoError('inputInvalid', `where goes with rows-deleted, not with ${kind}`);
}

/** Effect: that of the disaster, in the sandbox alone. Idempotency: what has happened already, by an attempt before, is left. @throws disasterFailed, inputInvalid */
export async function injectDisaster({ sandbox, disaster }: { readonly sandbox: Sandbox; readonly disaster: Disaster }): Promise<InjectedDisaster> {
  assertDisaster(disaster);
  return withPulse(async ({ signal, report }) => {
    report({ phase: describeDisaster(disaster) });
    const detail = await make(sandbox, disaster, signal);
    return { at: new Date().toISOString(), detail };
  });
}

async function make(sandbox: Sandbox, { kind, table = '', where }: Disaster, signal: AbortSignal): Promise<string> {
  switch (kind) {
    case 'server-killed': {
      const pids = await killServer(sandbox);
      return `${await assertSilent(sandbox, signal)} (${String(pids)} processes were killed)`;
    }
    case 'server-stopped':
      await controlServer(sandbox, 'stop', signal);
      return assertSilent(sandbox, signal);
    case 'data-lost': {
      await killServer(sandbox);
      const names = await readdir(sandbox.dataDir);
      for (const name of names) await rm(join(sandbox.dataDir, name), { recursive: true, force: true });
      await assertSilent(sandbox, signal);
      return `everything in the data directory is gone (${String(names.length)} entries)`;
    }
    case 'config-broken': {
      await killServer(sandbox);
      await appendFile(join(sandbox.dataDir, 'postgresql.auto.conf'), "\nthis is no setting = 'of PostgreSQL\n");
      const started = await controlServer(sandbox, 'start', signal).then(() => true, () => false);
      if (started) throw new ResurgoError('disasterFailed', 'the server starts all the same');
      return 'the server does not start any more: postgresql.auto.conf is damaged';
    }
    case 'database-dropped': {
      const { database } = sandbox;
      if (database === 'template1' || database === 'template0') throw new ResurgoError('inputInvalid', `database ${database} is not dropped in a game day`);
      await inDatabase(sandbox, signal, (client) => client.query(`drop database if exists ${quoteIdent(database)} with (force)`), database === 'postgres' ? 'template1' : 'postgres');
      return assertSilent(sandbox, signal);
    }
    case 'table-dropped':
      return inDatabase(sandbox, signal, async (client) => {
        const name = await tableName(client, table);
        if (name === undefined) return `table ${table} is gone`;
        const rows = await countOf(client, name);
        await client.query(`drop table ${name} cascade`);
        return `table ${name} with ${rows.toLocaleString('en')} rows is dropped`;
      });
    case 'rows-deleted':
      return inDatabase(sandbox, signal, async (client) => {
        const name = await tableName(client, table);
        if (name === undefined) throw noTable(table, sandbox);
        // As when somebody forgets the WHERE: no foreign key and no trigger stops it.
        await client.query('set session_replication_role = replica');
        const { rowCount } = await asTheirs(client, () => client.query(`delete from ${name}${where === undefined ? '' : ` where ${where}`}`));
        if (rowCount === 0 && !again()) throw new ResurgoError('disasterFailed', `no row of ${name} fits${where === undefined ? '' : `: ${where}`}`);
        return `${(rowCount ?? 0).toLocaleString('en')} rows of ${name} are deleted, ${(await countOf(client, name)).toLocaleString('en')} are left`;
      });
    case 'data-corrupted': {
      await controlServer(sandbox, 'start', signal);
      const [name, path] = await inDatabase(sandbox, signal, async (client) => {
        const found = await tableName(client, table);
        if (found === undefined) throw noTable(table, sandbox);
        await client.query('checkpoint');
        const { rows } = await client.query<{ path: string | null; bytes: string }>('select pg_relation_filepath($1::regclass) as path, pg_relation_size($1::regclass) as bytes', [found]);
        const [row] = rows;
        if (row?.path == null || Number(row.bytes) === 0) throw new ResurgoError('disasterFailed', `table ${found} has no pages that could be damaged`);
        return [found, row.path] as const;
      });
      await controlServer(sandbox, 'stop', signal);
      const file = await open(join(sandbox.dataDir, path), 'r+');
      try {
        await file.write(randomBytes(8192), 0, 8192, 0);
        await file.sync();
      } finally {
        await file.close();
      }
      await controlServer(sandbox, 'start', signal);
      const said = await inDatabase(sandbox, signal, (client) => countOf(client, name)).then(() => undefined, (error: unknown) => (error instanceof Error ? error.message : String(error)));
      if (said === undefined) throw new ResurgoError('disasterFailed', `${name} can be read all the same`);
      return `the first page of ${name} is overwritten: ${said}`;
    }
  }
}

/** An attempt before this one may have made it happen. */
const again = (): boolean => (currentContext()?.info.attempt ?? 1) > 1;

const noTable = (table: string, { database }: Sandbox): ResurgoError => new ResurgoError('inputInvalid', `there is no table ${table} in database ${database}`, { details: { hint: 'Name it as schema.table.' } });

/** Quoted, as the server says it; undefined when it is gone because an attempt before this one dropped it. @throws inputInvalid */
async function tableName(client: PgClient, table: string): Promise<string | undefined> {
  const [schema, name] = table.includes('.') ? [table.slice(0, table.indexOf('.')), table.slice(table.indexOf('.') + 1)] : ['public', table];
  const { rows } = await client.query<{ name: string }>(`select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')`, [schema, name]);
  if (rows[0] !== undefined) return rows[0].name;
  if (again()) return undefined;
  const { rows: has } = await client.query<{ database: string }>('select current_database() as database');
  throw new ResurgoError('inputInvalid', `there is no table ${schema}.${name} in database ${has[0]?.database ?? ''}`, { details: { hint: 'Name it as schema.table.' } });
}

const countOf = async (client: PgClient, name: string): Promise<number> => Number((await client.query<{ n: string }>(`select count(*) as n from ${name}`)).rows[0]?.n ?? 0);

const inDatabase = <T>(sandbox: Sandbox, signal: AbortSignal, work: (client: PgClient) => Promise<T>, database?: string): Promise<T> => withClient(sandboxConnection(sandbox, database), work, { signal, theirs: true });

/** Postmaster and backends, as when the machine dies. @returns how many */
async function killServer(sandbox: Sandbox): Promise<number> {
  let killed = 0;
  for (let tries = 0; tries < 50; tries++) {
    const running = await clusterProcesses(sandbox.dataDir);
    if (running.length === 0) break;
    for (const { pid } of running) {
      try {
        process.kill(pid, 'SIGKILL');
        killed++;
      } catch {
        // Gone by itself.
      }
    }
    await sleep(100);
  }
  await releaseSharedMemory(sandbox.dataDir);
  await forgetPid(join(sandbox.dataDir, 'postmaster.pid'));
  return killed;
}

/**
 * Where nobody reaps orphans (a container without an init) the killed postmaster stays as a zombie, and everybody takes its number for a running server. After a
 * machine died there would be no such process.
 */
async function forgetPid(file: string): Promise<void> {
  const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
  if (!(pid > 0)) return;
  for (let tries = 0; tries < 10 && (await processState(pid)) !== undefined; tries++) await sleep(100);
  if ((await processState(pid)) === 'Z') await rm(file, { force: true });
}

/** @returns what a client hears */
async function assertSilent(sandbox: Sandbox, signal: AbortSignal): Promise<string> {
  const said = await silence(sandbox, signal);
  if (said === undefined) throw new ResurgoError('disasterFailed', `database ${sandbox.database} answers all the same`);
  return said;
}
