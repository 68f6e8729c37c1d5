import { createHash, randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BackupKind, BackupRef } from '../../../domain/backup.ts';
import type { ObjectStore } from '../../../domain/ports.ts';
import {
  copyBackup,
  deleteBackup,
  findBackup,
  initRepository,
  listBackups,
  listRunRecords,
  listTargets,
  openRepository,
  readManifestBytes,
  readState,
  removeState,
  sweepOrphans,
  writeRunRecord,
  writeState,
} from '../../../providers/repository/catalogue.ts';
import { FaultInjectingStore } from '../../../providers/repository/decorators/fault-injecting.ts';
import { RecordingStore } from '../../../providers/repository/decorators/recording.ts';
import { DiskStore } from '../../../providers/repository/disk-store.ts';
import { backupName, hostKeyFile, keyFile, keysOf } from '../../../providers/repository/layout.ts';
import { ManifestCache } from '../../../providers/repository/manifest-cache.ts';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { tempDir } from '../../support/temp.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function refFor(
  startedAt: string,
  id: string,
  kind: BackupKind = 'full',
  target = 'shop',
  systemId = '7001',
): BackupRef {
  return { target, systemId, id, kind, startedAt, name: backupName({ startedAt, kind, id }) };
}

/** Everything a published backup of attempt `a1` has. */
async function publish(
  store: ObjectStore,
  ref: BackupRef,
  options: { state?: boolean; parts?: number } = {},
): Promise<void> {
  const keys = keysOf(ref);
  const lines: string[] = [];
  for (let n = 1; n <= (options.parts ?? 3); n++) {
    const part = randomBytes(1000 + n);
    await store.put(keys.part('a1', n), part);
    lines.push(`${sha256(part)}  parts/a1-${String(n).padStart(6, '0')}`);
  }
  const index = randomBytes(100);
  await store.put(keys.index, index);
  lines.push(`${sha256(index)}  index`);
  await store.put(keys.sums, Buffer.from(`${lines.join('\n')}\n`));
  await store.put(keyFile(ref.id, 1), randomBytes(50));
  await store.put(hostKeyFile(ref.id), randomBytes(50));
  await store.put(keys.manifest, Buffer.from(JSON.stringify({ id: ref.id, attempt: 'a1' })), { ifAbsent: true });
  if (options.state !== false) await writeState(store, ref, 'verified', { at: 'now' });
}

const everything = async (store: ObjectStore): Promise<Map<string, string>> => {
  const all = new Map<string, string>();
  for await (const { key } of store.list('')) all.set(key, sha256(await store.get(key)));
  return all;
};

const one = refFor('2026-11-01T02:00:00Z', 'aaa');
const two = refFor('2026-11-02T02:00:00Z', 'bbb', 'incremental');
const three = refFor('2026-11-03T02:00:00Z', 'ccc', 'differential');

describe('B15 repository file', () => {
  test('is made once, whoever comes first', async () => {
    const store = new MemoryStore();
    await expect(openRepository(store)).rejects.toMatchObject({ code: 'repositoryUnreachable' });
    const made = await Promise.all(Array.from({ length: 10 }, async () => initRepository(store)));
    expect(new Set(made.map((info) => info.id)).size).toBe(1);
    expect(await openRepository(store)).toEqual(made[0]);
    expect(store.objects.size).toBe(1);
  });

  test('that is gone or another one is not made anew where its id is known', async () => {
    const store = new MemoryStore();
    await expect(initRepository(store, { expectId: 'abc' })).rejects.toMatchObject({ code: 'repositoryUnreachable' });
    expect(store.objects.size).toBe(0);
    const { id } = await initRepository(store);
    expect(await initRepository(store, { expectId: id })).toMatchObject({ id });
    await expect(initRepository(store, { expectId: 'abc' })).rejects.toMatchObject({ code: 'repositoryUnreachable' });
  });

  test('of a format or feature not known is refused', async () => {
    for (const content of [
      '',
      'null',
      '[]',
      '{}',
      '{"id":"../x","format":1,"minReader":1,"features":[]}',
      '{"id":"a","format":2,"minReader":2,"features":[]}',
      '{"id":"a","format":1,"minReader":1,"features":["dedup"]}',
      '{"id":"a","format":1,"minReader":1}',
    ]) {
      const store = new MemoryStore();
      await store.put('repository.json', Buffer.from(content));
      await expect(openRepository(store), content).rejects.toMatchObject({ code: 'repositoryFormat' });
      await expect(initRepository(store), content).rejects.toMatchObject({ code: 'repositoryFormat' });
    }
    const newer = new MemoryStore();
    await newer.put('repository.json', Buffer.from('{"id":"a","format":2,"minReader":1,"features":[],"more":true}'));
    expect(await openRepository(newer)).toMatchObject({ id: 'a', format: 2 });
  });
});

describe('B15 catalogue', () => {
  test('lists by names: newest first, published or not, with what is known of each copy', async () => {
    const store = new RecordingStore(new MemoryStore());
    await initRepository(store);
    await publish(store, one);
    await publish(store, three, { state: false });
    await store.put(keysOf(two).part('a1', 1), Buffer.of(1));
    await writeState(store, one, 'hold', { reason: 'audit' });
    await publish(store, refFor('2026-11-02T03:00:00Z', 'ddd', 'full', 'other', 'x-1'));
    store.reset();
    expect(await listBackups(store, 'shop')).toEqual([
      { ...three, published: true, state: [] },
      { ...two, published: false, state: [] },
      { ...one, published: true, state: ['hold', 'verified'] },
    ]);
    // Only those without a state are asked for their manifest, and none is read.
    expect(store.count('head')).toBe(2);
    expect(store.count('get')).toBe(0);
    expect((await listBackups(store)).map((b) => b.id)).toEqual(['ccc', 'ddd', 'bbb', 'aaa']);
    expect(await listTargets(store)).toEqual(['other', 'shop']);
    expect(await listBackups(store, 'nobody')).toEqual([]);
  });

  test('passes over what strangers put there', async () => {
    const store = new MemoryStore();
    await publish(store, one);
    for (const key of [
      'shop/7001/backups/readme.txt/x',
      'shop/7001/backups/20269999T020000Z-full-zzz/manifest.json',
      'shop/-x/backups/20261101T020000Z-full-zzz/manifest.json',
      'a b/7001/backups/20261101T020000Z-full-zzz/manifest.json',
      'shop/7001/state/nonsense.verified',
      'shop/7001/state/20261101T020000Z-full-aaa.verified/deep',
      'shop/writer-epoch/x',
      'keys/7001/backups/20261101T020000Z-full-zzz/manifest.json',
    ]) {
      await store.put(key, Buffer.of(1));
    }
    expect((await listBackups(store)).map((b) => b.id)).toEqual(['aaa']);
    expect((await listBackups(store))[0]?.state).toEqual(['verified']);
  });

  test('finds by id, name, latest, day and time; only what is published', async () => {
    const store = new MemoryStore();
    await publish(store, one);
    await publish(store, two);
    await store.put(keysOf(three).part('a1', 1), Buffer.of(1));
    const find = async (which: string): Promise<string> => (await findBackup(store, which, 'shop')).id;
    expect(await find('latest')).toBe('bbb');
    expect(await find('aaa')).toBe('aaa');
    expect(await find(two.name)).toBe('bbb');
    expect(await find('2026-11-01')).toBe('aaa');
    expect(await find('2026-12-24')).toBe('bbb');
    expect(await find('2026-11-02T01:59:59Z')).toBe('aaa');
    expect(await find('2026-11-02T04:00:00+02:00')).toBe('bbb');
    for (const which of ['ccc', 'zzz', '2026-10-31', '', '20261103'])
      await expect(find(which), which).rejects.toMatchObject({ code: 'backupUnknown' });
    await expect(find('2026-13-45')).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(findBackup(new MemoryStore(), 'latest')).rejects.toMatchObject({ code: 'backupUnknown' });
    await expect(readManifestBytes(store, three)).rejects.toMatchObject({ code: 'backupUnknown' });
  });

  test('states are facts of one copy, replaced and removed', async () => {
    const store = new MemoryStore();
    expect(await readState(store, one, 'verified')).toBeUndefined();
    await writeState(store, one, 'verified', { n: 1 });
    await writeState(store, one, 'verified', { n: 2 });
    expect(await readState(store, one, 'verified')).toEqual({ n: 2 });
    await removeState(store, one, 'verified');
    expect(await readState(store, one, 'verified')).toBeUndefined();
    await store.put(keysOf(one).state('hold'), Buffer.from('{'));
    await expect(readState(store, one, 'hold')).rejects.toMatchObject({ code: 'manifestInvalid' });
  });

  test('records of failed runs are kept apart, newest first', async () => {
    const store = new MemoryStore();
    const record = (n: number) => ({
      schemaVersion: 1 as const,
      id: `r${String(n)}`,
      target: 'shop',
      operation: 'backup',
      startedAt: `2026-11-0${String(n)}T00:00:00Z`,
      endedAt: `2026-11-0${String(n)}T00:01:00Z`,
      error: { code: 'dumpFailed', message: 'no' },
    });
    for (const n of [1, 3, 2]) await writeRunRecord(store, record(n));
    await store.put('runs/shop/20261109T000000Z-bad.json', Buffer.from('{'));
    expect(await listRunRecords(store, 'shop')).toEqual([record(3), record(2), record(1)]);
    expect((await listRunRecords(store, 'shop', 2)).map((r) => r.id)).toEqual(['r3']);
    expect(await listBackups(store)).toEqual([]);
  });

  test('a manifest is read once and then from the cache; a torn cache file is read anew', async () => {
    const directory = tempDir('cache');
    const store = new RecordingStore(new MemoryStore());
    await initRepository(store);
    await publish(store, one);
    const bytes = await readManifestBytes(store, one);
    store.reset();
    const key = keysOf(one).manifest;
    for (let i = 0; i < 3; i++)
      expect((await new ManifestCache(directory.path).read(store, one)).equals(bytes)).toBe(true);
    expect(store.count('get', key)).toBe(1);
    const [id] = await readdir(directory.path);
    const file = join(directory.path, id ?? '', key);
    for (const torn of ['', 'x'.repeat(64), `${'0'.repeat(64)}\n${bytes.toString()}`]) {
      await writeFile(file, torn);
      expect((await new ManifestCache(directory.path).read(store, one)).equals(bytes)).toBe(true);
    }
    expect((await new ManifestCache(join(file, 'below')).read(store, one)).equals(bytes)).toBe(true);
    await expect(new ManifestCache(directory.path).read(store, two)).rejects.toMatchObject({ code: 'backupUnknown' });
    await directory.stop();
  });
});

describe('B8 copies, deletion, orphans', () => {
  test('a copy is whole, sends nothing twice and publishes last', async () => {
    const from = new MemoryStore('from');
    const to = new RecordingStore(new MemoryStore('to'));
    await publish(from, one);
    await from.put(keysOf(one).part('dead', 1), Buffer.of(1));
    await to.put(keysOf(one).part('a1', 2), await from.get(keysOf(one).part('a1', 2)));
    to.reset();
    const result = await copyBackup(from, to, one);
    expect(result).toMatchObject({ sentObjects: 5, skippedObjects: 1 });
    expect(to.putTwice()).toEqual([]);
    expect(to.calls.filter((c) => c.operation === 'put').at(-1)?.key).toBe(keysOf(one).manifest);
    const expected = await everything(from);
    expected.delete(keysOf(one).part('dead', 1));
    expected.delete(keysOf(one).state('verified'));
    expect(await everything(to)).toEqual(expected);
    expect(await copyBackup(from, to, one)).toMatchObject({ sentObjects: 0, sentBytes: 0 });
  });

  test('damage and loss in the source are not copied', async () => {
    const keys = keysOf(one);
    const damage: [string, (store: MemoryStore) => Promise<void>][] = [
      ['partCorrupt', async (s) => s.put(keys.part('a1', 2), randomBytes(1002))],
      ['partCorrupt', async (s) => s.put(keys.index, Buffer.of())],
      ['partMissing', async (s) => s.delete([keys.part('a1', 3)])],
      ['partCorrupt', async (s) => s.put(keys.sums, Buffer.from(`${'0'.repeat(64)}  ../../../escape\n`))],
      ['backupUnknown', async (s) => s.delete([keys.manifest])],
    ];
    for (const [code, harm] of damage) {
      const from = new MemoryStore('from');
      const to = new MemoryStore('to');
      await publish(from, one);
      await harm(from);
      await expect(copyBackup(from, to, one), code).rejects.toMatchObject({ code });
      expect(await to.head(keys.manifest)).toBeUndefined();
    }
    const from = new MemoryStore('from');
    const to = new MemoryStore('to');
    await publish(from, one);
    await to.put(keys.manifest, Buffer.from('another'));
    await expect(copyBackup(from, to, one)).rejects.toMatchObject({ code: 'objectExists' });
  });

  test('one fault at every call of a copy: never a half one that counts, and a second run makes it whole', async () => {
    for (const kind of ['fail', 'answer-lost'] as const) {
      for (let position = 1; ; position++) {
        const from = new MemoryStore('from');
        await publish(from, one);
        const inner = new MemoryStore('to');
        const to = new FaultInjectingStore(inner, [{ at: position, fault: { kind } }]);
        const outcome = await copyBackup(from, to, one).then(
          () => 'done',
          () => 'failed',
        );
        if (inner.objects.has(keysOf(one).manifest))
          expect(new Map([...(await everything(inner))].filter(([key]) => !key.endsWith('.copying')))).toEqual(
            await (async () => {
              const e = await everything(from);
              e.delete(keysOf(one).state('verified'));
              return e;
            })(),
          );
        await copyBackup(from, inner, one);
        expect(inner.objects.has(keysOf(one).manifest)).toBe(true);
        if (to.fired === 0) {
          expect(outcome).toBe('done');
          expect(position).toBeGreaterThan(8);
          break;
        }
      }
    }
  });

  test('one fault at every call of a deletion: whole and listed, or not listed; a second run leaves nothing', async () => {
    for (const kind of ['fail', 'answer-lost'] as const) {
      for (let position = 1; ; position++) {
        const inner = new MemoryStore();
        await publish(inner, one);
        await publish(inner, two);
        const others = await everything(inner);
        for (const key of others.keys()) if (key.includes(one.name) || key.startsWith('keys/aaa/')) others.delete(key);
        const store = new FaultInjectingStore(inner, [{ at: position, fault: { kind } }]);
        await deleteBackup(store, one).catch(() => undefined);
        const listed = (await listBackups(inner, 'shop')).find((b) => b.id === 'aaa');
        if (listed?.published === true) await copyBackup(inner, new MemoryStore('proof'), one);
        await deleteBackup(inner, one);
        expect(await everything(inner)).toEqual(others);
        if (store.fired === 0) break;
      }
    }
  });

  test('deleting leaves no directory on disk, also those a killed deletion left empty', async () => {
    const directory = tempDir('delete');
    const store = new DiskStore({ name: 'd', path: directory.path });
    await publish(store, one);
    const { mkdir } = await import('node:fs/promises');
    await deleteBackup(store, one);
    expect(await readdir(directory.path)).toEqual([]);
    await mkdir(join(directory.path, keysOf(two).partsPrefix), { recursive: true });
    expect((await listBackups(store)).map((b) => b.id)).toEqual(['bbb']);
    await deleteBackup(store, two);
    expect(await listBackups(store)).toEqual([]);
    await directory.stop();
  });

  test('orphans of dead attempts go, the kept attempt and published backups stay', async () => {
    const store = new MemoryStore();
    const keys = keysOf(one);
    for (const attempt of ['a1', 'a2', 'a2-x'])
      for (const n of [1, 2]) await store.put(keys.part(attempt, n), Buffer.of(n));
    await store.put(`${keys.partsPrefix}unknown`, Buffer.of(1));
    expect(await sweepOrphans(store, one, 'a2')).toBe(4);
    expect([...store.objects.keys()].sort()).toEqual([
      keys.part('a2', 1),
      keys.part('a2', 2),
      `${keys.partsPrefix}unknown`,
    ]);
    expect(await sweepOrphans(store, one)).toBe(2);
    await publish(store, two);
    await expect(sweepOrphans(store, two, 'a9')).rejects.toMatchObject({ code: 'objectExists' });
    await expect(sweepOrphans(store, two)).rejects.toMatchObject({ code: 'objectExists' });
    await store.put(keysOf(two).part('dead', 1), Buffer.of(1));
    expect(await sweepOrphans(store, two, 'a1')).toBe(1);
    await copyBackup(store, new MemoryStore('proof'), two);
  });
});
