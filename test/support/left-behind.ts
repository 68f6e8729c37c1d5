/** What a run may not leave: looked for on the host, in the repositories, in the database server and in Temporal. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { resolveRepository } from '../../config/resolve.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { listBackups, listTargets, readManifestBytes } from '../../providers/repository/catalogue.ts';
import { keysOf, parsePartName } from '../../providers/repository/layout.ts';
import { openStore } from '../../providers/repository/open-store.ts';
import type { PostgresServer } from './postgres.ts';
import { sleep } from './server-process.ts';
import type { Stack } from './stack.ts';

export interface LeftBehindOptions {
  readonly servers?: readonly PostgresServer[];
  /** Databases that may be there, beside the templates and `postgres`. */
  readonly databases?: readonly string[];
  /** Directories that may hold no working names of restores. */
  readonly places?: readonly string[];
  /** On servers that others use too: only sessions of this role, and databases whose names begin with it and `_`. */
  readonly role?: string;
  /** Repositories that cannot be looked into. */
  readonly except?: readonly string[];
  /** Whether Temporal is asked for runs too. Default true. */
  readonly temporal?: boolean;
  /** How long things may take to vanish, milliseconds. Default 30 000. */
  readonly patienceMs?: number;
}

const files = (dir: string): string[] =>
  existsSync(dir) ? readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name)) : [];
const names = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);

/** Run files, staging, spool, marks of restores; temporary files anywhere in the state directory. */
function onHost(stack: Stack): string[] {
  const state = stack.stateDir;
  return [
    ...['runs', 'spool', 'staging', 'restoring'].flatMap((place) => names(join(state, place)).map((name) => join(state, place, name))),
    ...files(state).filter((path) => path.endsWith('.tmp')),
    ...files(join(stack.dir)).filter((path) => /\/\.tmp-[0-9a-f]+$/.test(path)),
  ].map((path) => `file ${relative(stack.dir, path)}`);
}

/** Backups without a manifest, parts of other attempts, parts that no list names, keys without a backup. */
async function inRepository(store: ObjectStore): Promise<string[]> {
  const left: string[] = [];
  const ids = new Set<string>();
  for (const target of await listTargets(store)) {
    for (const ref of await listBackups(store, target)) {
      ids.add(ref.id);
      if (!ref.published) {
        left.push(`unpublished backup ${ref.name} of ${target} in ${store.name}`);
        continue;
      }
      const keys = keysOf(ref);
      const { attempt, counts } = JSON.parse((await readManifestBytes(store, ref)).toString()) as { attempt: string; counts: { parts: number } };
      let parts = 0;
      for await (const { key } of store.list(keys.prefix)) {
        if (!key.startsWith(keys.partsPrefix)) {
          if (![keys.manifest, keys.sums, keys.index].includes(key)) left.push(`object ${key} in ${store.name}`);
          continue;
        }
        if (parsePartName(key.slice(keys.partsPrefix.length))?.attempt === attempt) parts++;
        else left.push(`part ${key} of another attempt than ${attempt} in ${store.name}`);
      }
      if (parts !== counts.parts) left.push(`${String(parts)} parts of ${ref.name} in ${store.name}, the manifest says ${String(counts.parts)}`);
    }
  }
  for await (const { key } of store.list('keys/')) if (!ids.has(key.split('/')[1] ?? '')) left.push(`key file ${key} without a backup in ${store.name}`);
  return left;
}

async function inRepositories(stack: Stack, except: readonly string[]): Promise<string[]> {
  const { loaded } = stack;
  const left: string[] = [];
  for (const name of Object.keys(loaded.config.repositories)) {
    if (except.includes(name)) continue;
    const store = await openStore(name, resolveRepository(loaded, name));
    try {
      left.push(...(await inRepository(store)));
    } finally {
      await store.close();
    }
  }
  return left;
}

async function onServer(server: PostgresServer, { databases = [], role }: LeftBehindOptions): Promise<string[]> {
  const rows = await server.sql<{ what: string }>(
    'postgres',
    `select 'database ' || datname as what from pg_database where datname <> all ($1) and ($2::text is null or starts_with(datname, $2 || '_')) union all
     select 'replication slot ' || slot_name from pg_replication_slots left join pg_stat_activity on pid = active_pid where $2::text is null or usename is null or usename = $2 union all
     select 'session ' || pid || ' (' || backend_type || ') of ' || application_name || ' in ' || coalesce(datname, '') from pg_stat_activity
       where application_name ~ '^(resurgo|pg_dump|pg_restore)' and ($2::text is null or usename = $2)`,
    [['postgres', 'template0', 'template1', ...databases], role ?? null],
  );
  return rows.map((row) => row.what);
}

/** Our tools, and servers of scratch restores, that still run. A stopped or zombie one counts as well. */
function processes(stack: Stack, options: LeftBehindOptions): string[] {
  const ports = (options.servers ?? []).map((server) => `PGPORT=${String(server.port)}`);
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
      const isTool = /(^|\/)(pg_dump|pg_dumpall|pg_restore|pg_combinebackup|pg_basebackup)(:| |$)/.test(command);
      const ours = (environment.some((each) => ports.includes(each)) && (options.role === undefined || environment.includes(`PGUSER=${options.role}`))) || [stack.dir, ...(options.places ?? [])].some((place) => command.includes(place));
      const isScratch = /(^|\/)postgres /.test(command) && command.includes('resurgo-') && ours;
      return (isTool && ours) || isScratch ? [`process ${pid}: ${command.slice(0, 200)}`] : [];
    } catch {
      return []; // Gone meanwhile.
    }
  });
}

async function inTemporal(stack: Stack): Promise<string[]> {
  const { client } = await stack.client();
  const left: string[] = [];
  for await (const run of client.workflow.list({ query: `ExecutionStatus = 'Running'` })) left.push(`run ${run.workflowId} (${run.type})`);
  return left;
}

/** Everything that is left, in words; things get a moment to vanish. */
export async function leftBehind(stack: Stack, options: LeftBehindOptions = {}): Promise<string[]> {
  const deadline = Date.now() + (options.patienceMs ?? 30_000);
  for (;;) {
    const left = [
      ...onHost(stack),
      ...(await inRepositories(stack, options.except ?? [])),
      ...(await Promise.all((options.servers ?? []).map((server) => onServer(server, options)))).flat(),
      ...(options.places ?? []).flatMap((place) => names(place).filter((name) => name.includes('.resurgo-') || name.startsWith('resurgo-scratch')).map((name) => `directory ${join(place, name)}`)),
      ...processes(stack, options),
      ...(options.temporal === false ? [] : await inTemporal(stack)),
    ];
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(200);
  }
}
