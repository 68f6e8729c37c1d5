import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadConfig } from '../../../config/load.ts';
import { lastDrills } from '../../../client/status/drills.ts';
import { statusReport, statusExitCode } from '../../../client/status/report.ts';
import type { BackupRef } from '../../../domain/backup.ts';
import { writeEvidence } from '../../../providers/evidence/index.ts';
import { initRepository, listBackups, writeRunRecord, writeState } from '../../../providers/repository/catalogue.ts';
import { backupName, keysOf } from '../../../providers/repository/layout.ts';
import { openStore } from '../../../providers/repository/open-store.ts';
import { formatHostKey, generateHostKey, type HostKey } from '../../../providers/vault/host-key.ts';
import { formatManifest, signManifest } from '../../../providers/vault/publish.ts';
import { tempDir, type TempDir } from '../../support/index.ts';
import { runCli } from '../../support/run-cli.ts';
import { recipient } from '../config/bad-configs.ts';

const now = Date.now();
const hour = 3_600_000;
let dir: TempDir;
let key: HostKey;

async function put(repository: string, target: string, id: string, ago: number, source: number): Promise<BackupRef> {
  const store = await openStore(repository, { type: 'disk', path: join(dir.path, repository) });
  await initRepository(store);
  const startedAt = new Date(now - ago).toISOString();
  const ref = { target, systemId: '7001', id, kind: 'full' as const, startedAt, name: backupName({ startedAt, kind: 'full', id }) };
  const manifest = signManifest(
    {
      schemaVersion: 1, format: 1, ...ref, engine: 'logical', parent: null, chain: [], attempt: 'a1', endedAt: startedAt, durationMs: 1000, startedBy: 'test', bytes: { source, stored: 5 },
      counts: { parts: 1, files: 1 }, compression: 'zstd', encryption: { cipher: 'aes-256-gcm', recipients: [] }, digests: { sha256sums: 'a'.repeat(64), index: 'b'.repeat(64) },
      versions: { resurgo: '0', server: '18' }, checks: [], warnings: [],
    },
    key,
  );
  await store.put(keysOf(ref).manifest, formatManifest(manifest));
  await writeState(store, ref, 'verified', { at: 'now' });
  await store.close();
  return ref;
}

beforeAll(async () => {
  dir = tempDir('status');
  key = await generateHostKey();
  writeFileSync(join(dir.path, 'resurgo-host.key'), formatHostKey(key), { mode: 0o600 });
  const target = { type: 'postgres', engine: 'logical', connection: 'postgres://h/d' };
  const config = { version: 1, encryption: { recipients: [recipient] }, repositories: { one: { type: 'disk', path: './one' }, two: { type: 'disk', path: './two' } }, targets: { good: target, old: target, none: target, small: target } };
  writeFileSync(join(dir.path, 'resurgo.yaml'), JSON.stringify(config), { mode: 0o600 });
  mkdirSync(join(dir.path, 'one'), { mode: 0o700 });
  for (const repository of ['one', 'two']) {
    await put(repository, 'good', 'good1', hour / 2, 1000);
    for (let i = 1; i <= 4; i++) await put(repository, 'small', `small${String(i)}`, (i * hour) / 2, i === 1 ? 10 : 1000);
  }
  await put('one', 'old', 'old1', 5 * hour, 1000);
  const store = await openStore('one', { type: 'disk', path: join(dir.path, 'one') });
  for (const [id, ago] of [['early', 6 * hour], ['late', 4 * hour]] as const) {
    const at = new Date(now - ago).toISOString();
    await writeRunRecord(store, { schemaVersion: 1, operation: 'backup', id, target: 'old', startedAt: at, endedAt: at, error: { code: 'dumpFailed', message: `${id} failed` } });
  }
  await store.close();
});

afterAll(() => dir.stop());

test('B13 status of every target from the repositories alone, the same from what it remembers', async () => {
  const loaded = loadConfig(join(dir.path, 'resurgo.yaml'));
  for (const again of [false, true]) {
    const report = await statusReport(loaded, undefined, now);
    const codes = Object.fromEntries(report.targets.map((one) => [one.name, one.problems.map(({ code }) => code)]));
    expect(codes, String(again)).toEqual({ good: [], old: ['rpo', 'degraded', 'failedRuns'], none: ['noBackup'], small: ['shrunk'] });
    expect(report.targets[0]).toMatchObject({ name: 'good', newestVerifiedBackup: 'good1', rpoMs: hour / 2, lastDrill: null });
    expect(report.targets[1]?.problems[2]?.message).toContain('late failed');
    expect(report).toMatchObject({ incidents: [], temporal: { reachable: false } });
    expect(statusExitCode(report)).toBe(6);
  }
});

test('B13 the command: JSON, exit code, one target, a repository that is away', async () => {
  const run = (...args: string[]) => runCli(['status', ...args], { cwd: dir.path });
  expect(await run('good')).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('good1') as string });
  const all = await run('--json');
  expect(all.exitCode).toBe(6);
  expect((all.json() as { targets: object[] }).targets).toHaveLength(4);
  renameSync(join(dir.path, 'two'), join(dir.path, 'away'));
  try {
    const away = await run('good', '--json');
    expect(away.exitCode).toBe(0);
    expect(away.json()).toMatchObject({ targets: [{ name: 'good', problems: [{ code: 'unreachable' }] }], repositories: [{ name: 'one', status: 'ok' }, { name: 'two', status: 'unreachable' }] });
  } finally {
    renameSync(join(dir.path, 'away'), join(dir.path, 'two'));
  }
  expect((await run('nope')).exitCode).toBe(2);
});

test('B15 keys are listed as objects are, in the same order', async () => {
  const store = await openStore('one', { type: 'disk', path: join(dir.path, 'one') });
  for (const prefix of ['', 'old/', 'small/7001/state/', 'small/7001/state/2', 'nothing/']) {
    const objects: string[] = [];
    for await (const { key: each } of store.list(prefix)) objects.push(each);
    const keys: string[] = [];
    for await (const each of store.listKeys?.(prefix) ?? []) keys.push(each);
    expect(keys, prefix).toEqual(objects);
  }
  expect((await listBackups(store)).length).toBe(6);
  await store.close();
});

test('D1 the newest drill of every target, whichever repository has it', async () => {
  const drill = async (repository: string, target: string, id: string, at: string): Promise<void> => {
    const store = await openStore(repository, { type: 'disk', path: join(dir.path, repository) });
    const document = { schemaVersion: 1 as const, kind: 'drill' as const, id, target, at, status: 'passed' as const, title: id, summary: id, measured: {}, objectives: {}, timeline: [], checks: [], recommendations: [], facts: {} };
    await writeEvidence(store, { document, hostKey: key, recordedBy: 'test' });
    await store.close();
  };
  await drill('one', 'good', 'a', '2026-01-01T00:00:00.000Z');
  await drill('one', 'old', 'b', '2026-01-02T00:00:00.000Z');
  await drill('two', 'good', 'c', '2026-01-03T00:00:00.000Z');
  const found = await lastDrills(loadConfig(join(dir.path, 'resurgo.yaml')));
  expect([...found].map(([target, { id }]) => [target, id]).sort()).toEqual([['good', 'c'], ['old', 'b']]);
});
