import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../config/load.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { pruneActivities } from '../../activities/prune.activities.ts';
import type { BackupKind, BackupRef } from '../../domain/backup.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { listBackups, writeState } from '../../providers/repository/catalogue.ts';
import { FaultInjectingStore } from '../../providers/repository/decorators/fault-injecting.ts';
import { backupName, keysOf } from '../../providers/repository/layout.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { generateHostKey, hostPublic } from '../../providers/vault/host-key.ts';
import { formatManifest, signManifest } from '../../providers/vault/publish.ts';
import { recipient } from '../unit/config/bad-configs.ts';

const hostKey = await generateHostKey();
const now = Date.parse('2026-11-21T12:00:00Z');
const day = 86_400_000;
const refOf = (id: string, at: number, kind: BackupKind = 'full'): BackupRef => {
  const startedAt = new Date(at).toISOString();
  return { target: 'shop', systemId: '7001', id, kind, startedAt, name: backupName({ startedAt, kind, id }) };
};

async function put(store: ObjectStore, ref: BackupRef, chain: readonly string[] = []): Promise<void> {
  const keys = keysOf(ref);
  for (let n = 1; n <= 3; n++) await store.put(keys.part('a1', n), Buffer.of(n));
  const manifest = signManifest(
    {
      schemaVersion: 1, format: 1, ...ref, engine: 'physical', parent: chain.at(-1) ?? null, chain: [...chain], attempt: 'a1', endedAt: ref.startedAt, durationMs: 1, startedBy: 'test',
      bytes: { source: 10, stored: 5 }, counts: { parts: 3, files: 1 }, compression: 'zstd', encryption: { cipher: 'aes-256-gcm', recipients: [] },
      digests: { sha256sums: 'a'.repeat(64), index: 'b'.repeat(64) }, versions: { resurgo: '0', server: '18' }, checks: [], warnings: [],
    },
    hostKey,
  );
  await store.put(keys.manifest, formatManifest(manifest));
  await writeState(store, ref, 'verified', { at: 'now' });
}

function setUp(retention: string, stores: Record<string, ObjectStore>, isRunning = false) {
  const text = `version: 1\n${retention.includes('deletion') ? '' : 'deletion: { grace: 0s }\n'}encryption: { recipients: [${recipient}] }\nrepositories: { ${Object.keys(stores).map((name) => `${name}: { type: disk, path: ./${name} }`).join(', ')} }\ntargets: { shop: { type: postgres, engine: physical, connection: "postgres://h/d" } }\n${retention}\n`;
  const config = parseConfig(text, { shown: 'resurgo.yaml', dir: '/', env: {} });
  const deps = {
    loaded: { config, source: config, path: 'resurgo.yaml' },
    stores: { open: async (name: string) => stores[name] ?? Promise.reject(new ResurgoError('repositoryUnreachable', name)) },
    keys: { trusted: async () => [hostPublic(hostKey).publicKey] },
    isRunning: async () => isRunning,
  } as unknown as ActivityDeps;
  return pruneActivities(deps);
}
const namesIn = async (store: ObjectStore): Promise<string[]> => (await listBackups(store, 'shop')).filter((ref) => ref.published).map((ref) => ref.id).sort();

describe('B11 prune activities', () => {
  test('plan: reads chains from signed manifests; a forged or missing manifest is kept, an unpublished run is not looked at', async () => {
    const store = new MemoryStore('local');
    const [full, inc, forged, bare] = [refOf('full', now - 9 * day), refOf('inc', now - 8 * day, 'incremental'), refOf('forged', now - 7 * day), refOf('bare', now - 6 * day)];
    await put(store, full);
    await put(store, inc, ['full']);
    await put(store, forged);
    const bytes = (await store.get(keysOf(forged).manifest)).toString().replace('"source": 10', '"source": 11').replace('"source":10', '"source":11');
    await store.put(keysOf(forged).manifest, Buffer.from(bytes));
    await put(store, bare);
    await store.delete([keysOf(bare).manifest]);
    await store.put(keysOf(refOf('dead', now - 5 * day)).part('a1', 1), Buffer.of(1));
    await put(store, refOf('new', now));
    const plan = await setUp('retention: [{ last: 1 }]', { local: store }).planPrune({ target: 'shop', repository: 'local', now });
    expect(plan.remove.map((entry) => entry.id)).toEqual(['inc', 'full']);
    expect(plan.remove.map((entry) => entry.bytes)).toEqual([5, 5]);
    expect(plan.keep.map((entry) => entry.id)).toEqual(['new', 'bare', 'forged']);
    expect(plan).toMatchObject({ configured: true, more: 0, kept: 3 });
  });

  test('plan: rules by target and repository, the default where none applies', async () => {
    const stores = { local: new MemoryStore('local'), remote: new MemoryStore('remote') };
    for (const store of Object.values(stores)) for (let i = 0; i < 20; i++) await put(store, refOf(`b${String(i)}`, now - i * day));
    const activities = setUp('retention: [{ repositories: [local], last: 2 }, { targets: [shop], repositories: [local], age: 5d }]', stores);
    expect(await activities.planPrune({ target: 'shop', repository: 'local', now })).toMatchObject({ configured: true, kept: 5 });
    const remote = await activities.planPrune({ target: 'shop', repository: 'remote', now });
    expect(remote.configured).toBe(false);
    // Seven days and the Sunday of the week before that.
    expect(remote.kept).toBe(8);
    expect(remote.keep[0]?.reasons).toContain('newest of 2026-11-21 (daily 7)');
  });

  test('plan: a repository that cannot be read now is an error, never a reason to think a manifest damaged', async () => {
    const store = new MemoryStore('local');
    for (const id of ['a', 'b']) await put(store, refOf(id, now - day));
    const failing = new FaultInjectingStore(store, [{ operation: 'get', at: 1, fault: { kind: 'fail' } }]);
    await expect(setUp('retention: [{ last: 1 }]', { local: failing }).planPrune({ target: 'shop', repository: 'local', now })).rejects.toThrow();
  });

  test('remove: takes everything of the backup, twice is once, a hold set meanwhile or a running restore stops it', async () => {
    const store = new MemoryStore('local');
    const [old, held] = [refOf('old', now - 9 * day), refOf('held', now - 8 * day)];
    await put(store, old);
    await put(store, held);
    const before = store.objects.size;
    await writeState(store, held, 'hold', { reason: 'audit' });
    const busy = setUp('retention: [{ last: 1 }]', { local: store }, true);
    expect(await busy.removeBackup({ target: 'shop', repository: 'local', backup: old })).toMatchObject({ outcome: 'kept', detail: expect.stringContaining('restore') as string });
    const { removeBackup } = setUp('retention: [{ last: 1 }]', { local: store });
    expect(await removeBackup({ target: 'shop', repository: 'local', backup: held })).toMatchObject({ outcome: 'kept' });
    for (let i = 0; i < 2; i++) expect(await removeBackup({ target: 'shop', repository: 'local', backup: old })).toEqual({ outcome: 'removed' });
    expect(store.objects.size).toBe(before / 2 + 1);
    expect(await namesIn(store)).toEqual(['held']);
  });

  test('killed at every storage call of a removal: a second run ends where one run would have', async () => {
    const fill = async (): Promise<MemoryStore> => {
      const store = new MemoryStore('local');
      await put(store, refOf('f0', now - 30 * day));
      await put(store, refOf('i0', now - 29 * day, 'incremental'), ['f0']);
      await put(store, refOf('f1', now - 2 * day));
      await put(store, refOf('i1', now - day, 'incremental'), ['f1']);
      return store;
    };
    const run = async (store: ObjectStore): Promise<void> => {
      const activities = setUp('retention: [{ last: 1 }]', { local: store });
      await activities.sweepPruned({ target: 'shop', repository: 'local' });
      const { remove } = await activities.planPrune({ target: 'shop', repository: 'local', now });
      for (const backup of remove) await activities.removeBackup({ target: 'shop', repository: 'local', backup });
    };
    const whole = await fill();
    await run(whole);
    const end = [...whole.objects.keys()].sort();
    expect(await namesIn(whole)).toEqual(['f1', 'i1']);
    let died = 0;
    for (let at = 1; at < 60; at++) {
      const store = await fill();
      let calls = 0;
      const dying = new Proxy(store, {
        get: (target, key) => {
          const value = Reflect.get(target, key) as unknown;
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            if (key === 'delete' && ++calls >= at) throw new Error('killed');
            return (value as (...a: unknown[]) => unknown).apply(target, args);
          };
        },
      });
      const failed = await run(dying).then(() => false, () => true);
      if (!failed) break;
      died++;
      // What is still published is restorable at every moment.
      const left = await namesIn(store);
      if (left.includes('i0')) expect(left).toContain('f0');
      expect(left).toEqual(expect.arrayContaining(['f1', 'i1']));
      await run(store);
      expect([...store.objects.keys()].sort()).toEqual(end);
    }
    expect(died).toBeGreaterThanOrEqual(6);
  });
});
