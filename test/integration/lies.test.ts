/** Stored backups that are not what they were: every command finds it, says which, and touches nothing. */
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generateIdentity } from 'age-encryption';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import type { RestoreResult } from '../../domain/operations.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { digestDatabase } from '../../providers/postgres/logical-digest.ts';
import { parseHostKey, hostPublic } from '../../providers/vault/host-key.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { depsOf, rescueHere, restoreHere, verifyHere } from '../support/in-process.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { alter, cut, flip, forge, garbage, lose, replace, storedBackups, swap, type StoredFiles } from '../support/tamper.ts';
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

const beside = (target: string, backup?: string): { mode: 'beside'; to: string; backup?: string } => ({ mode: 'beside', to: target === 'shop' ? 'copy' : join(place.path, 'copy'), ...(backup === undefined ? {} : { backup }) });

const restoreCode = (deps: ActivityDeps, target: string, backup?: string): Promise<string> => codeOf(restoreHere(deps, { target, ...beside(target, backup) }));

const rescue = (target: string, backup?: string, trust: readonly string[] = [trusted]): Promise<RestoreResult> =>
  rescueHere({ target, repository: config('repo'), identity: config('resurgo.key'), trust, toolsDir: server.pgBin, connection: server.url(), input: beside(target, backup) });
const rescueCode = (target: string, backup?: string): Promise<string> => codeOf(rescue(target, backup));

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
  { name: 'the manifest is missing', tell: (b) => { lose(b.manifest); }, code: { verify: 'manifestInvalid', deep: 'manifestInvalid', restore: 'backupUnknown', rescue: 'backupUnknown' } },
  { name: 'a word of the manifest is altered', tell: (b) => { alter(b.manifest, (m) => ({ endedAt: new Date(Date.parse(m.endedAt) + 1000).toISOString() })); }, code: 'manifestInvalid' },
  { name: 'the manifest has no bytes', tell: (b) => { cut(b.manifest, 0); }, code: 'manifestInvalid' },
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
      restore: wanted.restore === 'none' ? 'none' : await restoreCode(one, target, newest.ref.id),
      rescue: wanted.rescue === 'none' ? 'none' : await rescueCode(target, newest.ref.id),
    };
    expect(found).toEqual(wanted);
  });
});

describe('B9 B10 keys', () => {
  test.each(['shop', 'whole'])('another identity opens no backup of %s, and that is said before anything is touched', async (target) => {
    writeFileSync(config('other.key'), `${await generateIdentity()}\n`, { mode: 0o600 });
    const deps = depsOf(variant('other.yaml', (all) => ({ ...all, encryption: { ...(all['encryption'] as object), identity: { file: './other.key' } } })));
    try {
      expect(await restoreCode(deps, target)).toBe('wrongKey');
      expect((await verifyHere(deps, { target, backup: 'latest', deep: true })).map(({ error }) => error?.code)).toEqual(['wrongKey', 'wrongKey']);
    } finally {
      await deps.stores.close();
    }
    const rescued = rescueHere({ target, repository: config('repo'), identity: config('other.key'), trust: [trusted], toolsDir: server.pgBin, connection: server.url(), input: beside(target) });
    expect(await codeOf(rescued)).toBe('wrongKey');
  });

  test('without any the restore says so', async () => {
    const deps = depsOf(variant('none.yaml', (all) => ({ ...all, encryption: { recipients: (all['encryption'] as { recipients: string[] }).recipients } })));
    try {
      expect(await restoreCode(deps, 'shop')).toBe('keyMissing');
    } finally {
      await deps.stores.close();
    }
  });
});

describe('B2 B10 the parent of an incremental', () => {
  const gone: [string, (parent: StoredFiles) => void, string][] = [
    ['is gone', (b) => { rmSync(dirname(b.manifest), { recursive: true }); rmSync(dirname(b.keys), { recursive: true }); for (const name of stateFiles(b)) lose(name); }, 'parentMissing'],
    ['has no manifest', (b) => { lose(b.manifest); }, 'parentMissing'],
    ['has lost a part', (b) => { lose(part(b)); }, 'partMissing'],
    ['has another bit in a part', (b) => { flip(part(b)); }, 'partCorrupt'],
    ['has a damaged manifest', (b) => { flip(b.manifest); }, 'manifestInvalid'],
  ];
  test.each(gone)('%s', async (_, tell, code) => {
    const [newest, parent] = await storedBackups(config('repo'), 'whole');
    if (newest === undefined || parent === undefined) throw new Error('two backups are needed');
    tell(parent);
    expect({ restore: await restoreCode(one, 'whole', newest.ref.id), rescue: await rescueCode('whole', newest.ref.id) }).toEqual({ restore: code, rescue: code });
    // Whole itself, and worth nothing.
    const deep = await verifyHere(one, { target: 'whole', deep: true });
    expect(deep.map(({ backup, status }) => `${backup} ${status}`)).toContain(`${newest.ref.id} damaged`);
  });
});

describe('B10 R1 the newest backup is damaged, and none was named', () => {
  const restored = async (run: Promise<RestoreResult>): Promise<RestoreResult> => {
    try {
      const result = await run;
      if (result.mode === 'beside' && result.status !== 'preview') expect(await digestOf('copy')).toBe(digest);
      return result;
    } finally {
      await server.sql('postgres', 'drop database if exists copy with (force)');
    }
  };
  const damages: [string, (b: StoredFiles) => void][] = [
    ['its manifest is garbage', (b) => { garbage(b.manifest); }],
    ['its manifest was altered', (b) => { alter(b.manifest, () => ({ parent: null, startedBy: 'x' })); }],
    ['its manifest is missing', (b) => { lose(b.manifest); }],
    ['its keys are garbage', (b) => { garbage(b.keys); }],
  ];

  test.each(damages)('%s: the one before it is restored, and the result says so', async (_, tell) => {
    const [newest, older] = await storedBackups(config('repo'), 'shop');
    if (newest === undefined || older === undefined) throw new Error('two backups are needed');
    tell(newest);
    for (const run of [() => restoreHere(one, { target: 'shop', ...beside('shop') }), () => restoreHere(one, { target: 'shop', ...beside('shop', newest.ref.startedAt) }), () => rescue('shop')]) {
      const result = await restored(run());
      expect(result).toMatchObject({ status: 'restored-with-warnings', backup: older.ref.id, plan: { passedOver: [{ backup: newest.ref.id }] } });
      expect(result.warnings.join()).toContain(`backup ${newest.ref.id} is newer`);
    }
    const preview = await restoreHere(one, { target: 'shop', mode: 'in-place', preview: true });
    expect(preview).toMatchObject({ status: 'preview', backup: older.ref.id });
    expect(preview.warnings.join()).toContain(newest.ref.id);
  });

  test('another repository has it whole: it is taken from there', async () => {
    const [newest] = await storedBackups(config('repo'), 'shop');
    if (newest === undefined) throw new Error('a backup is needed');
    garbage(newest.manifest);
    const result = await restored(restoreHere(both, { target: 'shop', ...beside('shop') }));
    expect(result).toMatchObject({ status: 'restored', backup: newest.ref.id, plan: { repositories: ['second'] } });
    expect(result.warnings.join()).toContain('repository local');
  });

  test('a verification found it: it is passed over, and taken when it is named', async () => {
    const [newest, older] = await storedBackups(config('repo'), 'shop');
    if (newest === undefined || older === undefined) throw new Error('two backups are needed');
    flip(part(newest));
    await verifyHere(one, { target: 'shop', backup: newest.ref.id });
    expect(await restored(restoreHere(one, { target: 'shop', ...beside('shop') }))).toMatchObject({ status: 'restored-with-warnings', backup: older.ref.id });
    expect(await restoreCode(one, 'shop', newest.ref.id)).toBe('partCorrupt');
  });

  test('an incremental without its parent: the one before them', async () => {
    const [newest, parent] = await storedBackups(config('repo'), 'whole');
    if (newest === undefined || parent === undefined) throw new Error('two backups are needed');
    garbage(newest.manifest);
    const preview = await restoreHere(one, { target: 'whole', ...beside('whole'), preview: true });
    expect(preview).toMatchObject({ backup: parent.ref.id });
    garbage(parent.manifest);
    expect(await restoreCode(one, 'whole')).toBe('manifestInvalid');
  });

  test('a stranger signed it: nobody chooses for the operator', async () => {
    const [newest] = await storedBackups(config('repo'), 'shop');
    if (newest === undefined) throw new Error('a backup is needed');
    await forge(newest.manifest, () => ({}));
    expect({ restore: await restoreCode(one, 'shop'), rescue: await rescueCode('shop') }).toEqual({ restore: 'manifestSignature', rescue: 'manifestSignature' });
  });
});

/** State files beside a backup. */
function stateFiles({ ref, manifest }: StoredFiles): string[] {
  const dir = join(dirname(manifest), '..', '..', 'state');
  return readdirSync(dir).filter((name) => name.startsWith(ref.name)).map((name) => join(dir, name));
}
