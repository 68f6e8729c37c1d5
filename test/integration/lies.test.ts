/** Stored backups that are not what they were: every command finds it, says which, and touches nothing. */
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateIdentity } from 'age-encryption';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { Stores, type StorePool } from '../../activities/stores.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { digestDatabase } from '../../providers/postgres/logical-digest.ts';
import { FaultInjectingStore, type FaultRule } from '../../providers/repository/decorators/fault-injecting.ts';
import { parseHostKey, hostPublic } from '../../providers/vault/host-key.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { depsOf, rescueHere, restoreHere, verifyHere } from '../support/in-process.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { alter, cut, flip, forge, garbage, lose, readSigned, replace, storedBackups, swap, type StoredFiles } from '../support/tamper.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let server: PostgresServer;
let stack: Stack;
let work: TempDir;
let place: TempDir;
let digest: string;
/** Both repositories. */
let both: ActivityDeps;
/** Only the one that is damaged. */
let one: ActivityDeps;
let trusted: string;
const cwd = process.cwd();

const config = (name: string): string => join(stack.dir, name);
const pristine = (name: string): string => join(work.path, name);
const digestOf = async (database: string): Promise<string> => (await digestDatabase(resolveConnection(server.url(database)), {})).digest;

/** A second configuration beside the first: the same keys and state, other words. */
function variant(name: string, change: (config: Record<string, unknown>) => Record<string, unknown>): string {
  const path = config(name);
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(stack.configPath, 'utf8')) as Record<string, unknown>)), { mode: 0o600 });
  return path;
}

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', 'create table orders (id int primary key, note text); insert into orders select i, md5(i::text) from generate_series(1, 5000) i');
  digest = await digestOf('shop');
  work = tempDir('pristine');
  place = tempDir('place', server.runAs);
  const common = { type: 'postgres', toolsDir: server.pgBin, repositories: ['local', 'second'] };
  stack = await startStack({
    repositories: { local: { type: 'disk', path: './repo' }, second: { type: 'disk', path: './second' } },
    targets: {
      shop: { ...common, engine: 'logical', connection: server.url('shop') },
      whole: { ...common, engine: 'physical', connection: server.url(), ...(server.runAs === undefined ? {} : { runAs: server.runAs.user }) },
    },
  });
  await stack.startWorker();
  await stack.run('backup', { target: 'shop' });
  await stack.run('backup', { target: 'shop' });
  await stack.run('backup', { target: 'whole' });
  await stack.run('backup', { target: 'whole', kind: 'incremental' });
  await stack.stopWorker();
  for (const name of ['repo', 'second']) cpSync(config(name), pristine(name), { recursive: true });
  both = depsOf(stack.configPath);
  one = depsOf(variant('one.yaml', (all) => ({ ...all, repositories: { local: { type: 'disk', path: './repo' } }, targets: Object.fromEntries(Object.entries(all['targets'] as Record<string, object>).map(([name, target]) => [name, { ...target, repositories: ['local'] }])) })));
  trusted = hostPublic(await parseHostKey(readFileSync(config('resurgo-host.key'), 'utf8'), 'host key')).publicKey;
  // A rescue keeps its state where it is started.
  process.chdir(work.path);
});

afterAll(async () => {
  process.chdir(cwd);
  await both.stores.close();
  await one.stores.close();
  await stack.stop();
  await place.stop();
  await work.stop();
  await server.stop();
});

beforeEach(() => {
  for (const name of ['repo', 'second']) {
    rmSync(config(name), { recursive: true, force: true });
    cpSync(pristine(name), config(name), { recursive: true });
  }
});

/** Nothing was made on the server or on the disk, and the source is as it was. */
afterEach(async () => {
  expect(await databases()).toEqual(['postgres', 'shop', 'template0', 'template1']);
  expect(readdirSync(place.path)).toEqual([]);
  expect(await digestOf('shop')).toBe(digest);
  for (const name of ['runs', 'staging', 'spool', 'restoring']) expect(existsSync(join(stack.stateDir, name)) ? readdirSync(join(stack.stateDir, name)) : [], name).toEqual([]);
});

const databases = async (): Promise<string[]> => (await server.sql<{ datname: string }>('postgres', 'select datname from pg_database order by 1')).map((row) => row.datname);

/** Error code of what has to fail. */
const codeOf = async (run: Promise<unknown>): Promise<string> => run.then(async () => {
  await server.sql('postgres', 'drop database if exists copy with (force)');
  return 'no error';
}, (error: unknown) => (error as { code?: string }).code ?? String(error));

const restoreCode = (deps: ActivityDeps, target: string): Promise<string> => codeOf(restoreHere(deps, { target, mode: 'beside', to: target === 'shop' ? 'copy' : join(place.path, 'copy') }));

const rescueCode = (target: string, trust: readonly string[] = [trusted]): Promise<string> =>
  codeOf(rescueHere({ target, repository: config('repo'), identity: config('resurgo.key'), trust, toolsDir: server.pgBin, connection: server.url(), input: { mode: 'beside', to: target === 'shop' ? 'copy' : join(place.path, 'copy') } }));

/** What a verification says of the newest copy in the damaged repository. */
async function verifyCode(target: string, deep: boolean, backup: string): Promise<string> {
  const copies = await verifyHere(both, { target, backup, deep });
  const of = (repository: string): string | undefined => {
    const copy = copies.find((each) => each.repository === repository);
    return copy?.status === 'verified' ? 'verified' : copy?.error?.code;
  };
  expect(of('second'), 'the copy that nobody touched').toBe('verified');
  return of('local') ?? 'not listed';
}

interface Lie {
  readonly name: string;
  readonly tell: (newest: StoredFiles, older: StoredFiles) => void | Promise<void>;
  /** Code of every command, or by command. `none`: it does not need what was damaged. */
  readonly code: string | { readonly verify: string; readonly deep: string; readonly restore: string; readonly rescue: string };
}

/** The n-th largest part: a restore may do without the small ones (globals of roles that exist). */
const part = (files: StoredFiles, n = 0): string => files.parts.toSorted((a, b) => statSync(b).size - statSync(a).size)[n] as string;

const lies: Lie[] = [
  { name: 'a part is cut short', tell: (b) => { cut(part(b)); }, code: 'partCorrupt' },
  { name: 'a part has no bytes', tell: (b) => { cut(part(b), 0); }, code: 'partCorrupt' },
  { name: 'one bit of a part is flipped', tell: (b) => { flip(part(b)); }, code: 'partCorrupt' },
  { name: 'the last bit of a part (its tag) is flipped', tell: (b) => { flip(part(b), 1); }, code: 'partCorrupt' },
  { name: 'a part is missing', tell: (b) => { lose(part(b)); }, code: 'partMissing' },
  { name: 'a part is that of another backup, of the same number', tell: (b, older) => { replace(part(b), part(older)); }, code: 'partCorrupt' },
  { name: 'two parts are exchanged', tell: (b) => { swap(part(b, 0), part(b, 1)); }, code: 'partCorrupt' },
  // A restore works by the index, whose digests are the same.
  { name: 'SHA256SUMS is altered', tell: (b) => { flip(b.sums); }, code: { verify: 'partCorrupt', deep: 'partCorrupt', restore: 'none', rescue: 'none' } },
  { name: 'SHA256SUMS is missing', tell: (b) => { lose(b.sums); }, code: { verify: 'partMissing', deep: 'partMissing', restore: 'none', rescue: 'none' } },
  { name: 'the index is altered', tell: (b) => { flip(b.index); }, code: 'partCorrupt' },
  { name: 'the index is missing', tell: (b) => { lose(b.index); }, code: 'partMissing' },
  { name: 'the index is that of another backup', tell: (b, older) => { replace(b.index, older.index); }, code: 'partCorrupt' },
  { name: 'the manifest is that of another backup', tell: (b, older) => { replace(b.manifest, older.manifest); }, code: 'manifestInvalid' },
  { name: 'the manifest is cut short', tell: (b) => { cut(b.manifest); }, code: 'manifestInvalid' },
  { name: 'the manifest is signed by a stranger', tell: (b) => forge(b.manifest, () => ({})), code: 'manifestSignature' },
  { name: 'a stranger signs a manifest that names other digests', tell: (b) => forge(b.manifest, (m) => ({ digests: { ...m.digests, index: '0'.repeat(64) } })), code: 'manifestSignature' },
  { name: 'the keys are missing', tell: (b) => { lose(b.keys); }, code: { verify: 'partMissing', deep: 'objectMissing', restore: 'objectMissing', rescue: 'objectMissing' } },
  { name: 'the keys are garbage', tell: (b) => { garbage(b.keys); }, code: 'partCorrupt' },
  { name: 'the keys are those of another backup', tell: (b, older) => { replace(b.keys, older.keys); }, code: { verify: 'partCorrupt', deep: 'wrongKey', restore: 'wrongKey', rescue: 'wrongKey' } },
  { name: 'one bit of the keys is flipped', tell: (b) => { flip(b.keys, 0.9); }, code: 'partCorrupt' },
];

describe.each(['shop', 'whole'] as const)('B10 damaged backup of %s', (target) => {
  test.each(lies)('$name', async ({ tell, code }) => {
    const [newest, older] = await storedBackups(config('repo'), target);
    if (newest === undefined || older === undefined) throw new Error('two backups are needed');
    await tell(newest, older);
    const wanted = typeof code === 'string' ? { verify: code, deep: code, restore: code, rescue: code } : code;
    const found = {
      verify: await verifyCode(target, false, newest.ref.id),
      deep: await verifyCode(target, true, newest.ref.id),
      restore: wanted.restore === 'none' ? 'none' : await restoreCode(one, target),
      rescue: wanted.rescue === 'none' ? 'none' : await rescueCode(target),
    };
    expect(found).toEqual(wanted);
  });
});
