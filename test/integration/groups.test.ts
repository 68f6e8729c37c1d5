/** B5 configuration bundles, B16 groups: database, files and configuration under one id. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { finishInPlace } from '../../activities/restore-finish.ts';
import { digestDatabase } from '../../providers/postgres/logical-digest.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { findBackup, readManifestBytes } from '../../providers/repository/catalogue.ts';
import { hostPublic, parseHostKey } from '../../providers/vault/host-key.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { backupHere, configHere, depsOf, rescueHere, restoreHere, verifyHere } from '../support/in-process.ts';
import { onCluster } from '../support/physical-cluster.ts';
import { adversarialTree, describeTree } from '../support/tree.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let server: PostgresServer;
let work: TempDir;
let place: TempDir;
let deps: ActivityDeps;
let configPath: string;
const at = (...names: string[]): string => join(work.path, ...names);
const digestOf = async (database: string): Promise<string> => (await digestDatabase(resolveConnection(server.url(database)), {})).digest;
const secret = 'hunter2-hunter2';

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', 'create table orders (id int primary key, note text); insert into orders select i, md5(i::text) from generate_series(1, 2000) i');
  await server.sql('postgres', 'alter database shop set work_mem = \'7MB\'');
  work = tempDir('groups');
  place = tempDir('place', server.runAs);
  mkdirSync(at('media'));
  adversarialTree(at('media'));
  mkdirSync(at('etc'));
  writeFileSync(at('etc', 'api.conf'), 'port = 1\n');
  configPath = await configHere(work.path, {
    shop: { type: 'postgres', engine: 'logical', connection: server.url('shop'), password: secret, toolsDir: server.pgBin },
    whole: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, ...(server.runAs === undefined ? {} : { runAs: server.runAs.user, owner: server.runAs.user }) },
    gone: { type: 'postgres', engine: 'logical', connection: 'postgres://nobody@127.0.0.1:1/none', toolsDir: server.pgBin },
    media: { type: 'files', paths: [at('media')] },
    conf: { type: 'config', files: [at('etc')], databases: ['shop'] },
    platform: { type: 'group', members: ['shop', 'whole', 'media', 'conf'] },
    partly: { type: 'group', members: ['gone', 'media'] },
  });
  deps = depsOf(configPath);
}, 300_000);
afterAll(async () => {
  await deps.stores.close();
  await server.stop();
  await place.stop();
  await work.stop();
});

test('B5 a bundle holds files, database settings and our own configuration without the secrets in it; in place takes the files', { timeout: 300_000 }, async () => {
  const done = await backupHere(deps, { target: 'conf' });
  expect(done.counts).toMatchObject({ configFiles: 1, files: 3 });
  expect(done.warnings).toEqual([]);
  await restoreHere(deps, { target: 'conf', mode: 'beside', to: at('conf-back') });
  expect(describeTree(join(at('conf-back'), at('etc')))).toBe(describeTree(at('etc')));
  const bundle = at('conf-back', 'resurgo-bundle');
  const settings = JSON.parse(readFileSync(join(bundle, 'databases', 'shop.json'), 'utf8')) as { settings: { name: string }[]; overrides: unknown[]; access: unknown[] };
  expect(settings.settings.map(({ name }) => name)).toContain('summarize_wal');
  expect(settings.overrides).toContainEqual({ database: 'shop', role: null, settings: ['work_mem=7MB'] });
  expect(settings.access.length).toBeGreaterThan(0);
  const own = readFileSync(join(bundle, 'resurgo', 'resurgo.yaml'), 'utf8');
  expect(readFileSync(configPath, 'utf8')).toContain(secret);
  expect(own).not.toContain(secret);
  expect(own).toContain('"members":["shop","whole","media","conf"]');

  writeFileSync(at('etc', 'api.conf'), 'port = 2\n');
  const back = await restoreHere(deps, { target: 'conf', mode: 'in-place', only: [at('etc', 'api.conf')] });
  expect(readFileSync(at('etc', 'api.conf'), 'utf8')).toBe('port = 1\n');
  expect(readFileSync(at('etc', 'api.conf_old'), 'utf8')).toBe('port = 2\n');
  await finishInPlace(deps, { id: back.id, target: 'conf', action: 'confirm' }, () => Promise.resolve());
  expect(readdirSync(at('etc'))).toEqual(['api.conf']);
});

test('B16 one id for all; incrementals per member; any subset comes back, in place with rollback, and by rescue', { timeout: 600_000 }, async () => {
  const full = await backupHere(deps, { target: 'platform' });
  expect(full.warnings).toEqual([]);
  expect(full.counts).toMatchObject({ members: 4, configFiles: 1, tables: 1, rows: 2000 });
  await server.sql('shop', 'delete from orders where id > 1500');
  rmSync(at('media', 'deep'), { recursive: true });
  const second = await backupHere(deps, { target: 'platform', kind: 'incremental' });
  expect(second.prepared).toMatchObject({ kind: 'incremental', parent: full.prepared.backup });
  expect(second.warnings).toEqual([]);
  const store = await deps.stores.open('local');
  const manifest = JSON.parse(String(await readManifestBytes(store, await findBackup(store, 'latest', 'platform')))) as { members: unknown };
  expect(manifest.members).toEqual([{ name: 'shop', engine: 'logical' }, { name: 'whole', engine: 'physical' }, { name: 'media', engine: 'files' }, { name: 'conf', engine: 'config' }]);
  expect((await verifyHere(deps, { target: 'platform', deep: true })).map(({ status, depth }) => `${status} ${String(depth)}`)).toEqual(['verified content', 'verified content']);

  const media = describeTree(at('media'));
  const digest = await digestOf('shop');
  const to = `shop=shop_back,whole=${join(place.path, 'whole')},media=${at('media-back')},conf=${at('conf-back-2')}`;
  const all = await restoreHere(deps, { target: 'platform', mode: 'beside', to });
  expect(all).toMatchObject({ status: 'restored', restoredRecords: 1500 });
  expect(await digestOf('shop_back')).toBe(digest);
  expect(describeTree(join(at('media-back'), at('media')))).toBe(media);
  expect(existsSync(at('conf-back-2', 'resurgo-bundle', 'resurgo', 'resurgo.yaml'))).toBe(true);
  const whole = await onCluster(join(place.path, 'whole'), async ({ connection }) => (await digestDatabase(connection, { database: 'shop' })).digest);
  expect(whole).toBe(digest);

  // The backup before it, one member, a plain destination.
  await restoreHere(deps, { target: 'platform', mode: 'beside', backup: full.prepared.backup, only: ['shop'], to: 'shop_first' });
  expect((await server.sql('shop_first', 'select count(*)::int as n from orders'))).toMatchObject([{ n: 2000 }]);

  for (const [only, dest] of [[['shop', 'media'], 'shop=x'], [['nobody'], 'x'], [['shop'], 'media=x,shop=y']] as const) {
    await expect(restoreHere(deps, { target: 'platform', mode: 'beside', only, to: dest })).rejects.toMatchObject({ code: 'inputInvalid' });
  }

  await server.sql('shop', 'truncate orders');
  rmSync(at('media', 'hl'), { recursive: true });
  const ruined = describeTree(at('media'));
  const inPlace = await restoreHere(deps, { target: 'platform', mode: 'in-place', only: ['shop', 'media'] });
  expect(await digestOf('shop')).toBe(digest);
  expect(describeTree(at('media'))).toBe(media);
  await finishInPlace(deps, { id: inPlace.id, target: 'platform', action: 'rollback' }, () => Promise.resolve());
  expect(describeTree(at('media'))).toBe(ruined);
  expect((await server.sql('shop', 'select count(*)::int as n from orders'))).toMatchObject([{ n: 0 }]);

  const cwd = process.cwd();
  process.chdir(place.path);
  try {
    const trust = hostPublic(await parseHostKey(readFileSync(at('resurgo-host.key'), 'utf8'), 'host key')).publicKey;
    await rescueHere({ repository: at('repo'), identity: at('resurgo.key'), trust: [trust], toolsDir: server.pgBin, target: 'platform', input: { mode: 'beside', only: ['media'], to: at('rescued') } });
  } finally {
    process.chdir(cwd);
  }
  expect(describeTree(join(at('rescued'), at('media')))).toBe(media);
});

test('B16 a member that fails is told and left out; its restore is refused, the others come back', { timeout: 300_000 }, async () => {
  const done = await backupHere(deps, { target: 'partly' });
  expect(done.counts).toMatchObject({ members: 1, problems: 1 });
  expect(done.warnings).toEqual([expect.stringMatching(/^member gone FAILED and is not in this backup: /)]);
  await expect(restoreHere(deps, { target: 'partly', mode: 'beside', to: `gone=x,media=${at('never')}` })).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('gone failed when backup') });
  expect(existsSync(at('never'))).toBe(false);
  await restoreHere(deps, { target: 'partly', mode: 'beside', only: ['media'], to: at('partly-back') });
  expect(describeTree(join(at('partly-back'), at('media')))).toBe(describeTree(at('media')));
  // The next one builds on what is there, and takes the other whole.
  const next = await backupHere(deps, { target: 'partly', kind: 'incremental' });
  expect(next.prepared.kind).toBe('incremental');
});
