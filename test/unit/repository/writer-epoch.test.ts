import { describe, expect, test } from 'vitest';
import { FaultInjectingStore } from '../../../providers/repository/decorators/fault-injecting.ts';
import { DiskStore } from '../../../providers/repository/disk-store.ts';
import { listBackups, listTargets } from '../../../providers/repository/catalogue.ts';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { checkEpoch, claimEpoch } from '../../../providers/repository/writer-epoch.ts';
import { tempDir } from '../../support/temp.ts';

const holds = async (store: MemoryStore | DiskStore, claim: string): Promise<boolean> =>
  checkEpoch(store, 'shop', claim).then(
    () => true,
    (error: unknown) => {
      expect(error).toMatchObject({ code: 'fenced' });
      return false;
    },
  );

describe('B8 writer epoch', () => {
  test('the newest claim holds, every older one is fenced', async () => {
    const store = new MemoryStore();
    const first = await claimEpoch(store, 'shop', 'run-1');
    expect(await claimEpoch(store, 'shop', 'run-1')).toBe(first);
    await checkEpoch(store, 'shop', first);
    const second = await claimEpoch(store, 'shop', 'rescue');
    expect(await holds(store, first)).toBe(false);
    expect(await holds(store, second)).toBe(true);
    // One target does not concern another; claims are no backups.
    await claimEpoch(store, 'other', 'run-9');
    expect(await holds(store, second)).toBe(true);
    expect([...store.objects.keys()]).toHaveLength(2);
    expect(await listBackups(store)).toEqual([]);
    expect(await listTargets(store)).toEqual(['other', 'shop']);
  });

  test('of many who claim at once exactly one holds in the end, on disk too', async () => {
    const directory = tempDir('epoch');
    for (const store of [new MemoryStore(), new DiskStore({ name: 'd', path: directory.path })]) {
      const claims = await Promise.all(
        Array.from({ length: 12 }, async (_, i) => claimEpoch(store, 'shop', `run-${String(i)}`)),
      );
      const holding = await Promise.all(claims.map(async (claim) => holds(store, claim)));
      expect(holding.filter(Boolean)).toHaveLength(1);
      const next = await claimEpoch(store, 'shop', 'run-13');
      for (const claim of claims) expect(await holds(store, claim)).toBe(false);
      expect(await holds(store, next)).toBe(true);
    }
    await directory.stop();
  });

  test('one fault at every call: a claim that failed is claimed again, and older holders never hold beside it', async () => {
    for (const kind of ['fail', 'answer-lost'] as const) {
      for (let at = 1; ; at++) {
        const store = new MemoryStore();
        const old = await claimEpoch(store, 'shop', 'old');
        const faulty = new FaultInjectingStore(store, [{ at, fault: { kind } }]);
        await claimEpoch(faulty, 'shop', 'new').catch(() => undefined);
        const claim = await claimEpoch(store, 'shop', 'new');
        expect(await holds(store, claim)).toBe(true);
        expect(await holds(store, old)).toBe(false);
        if (faulty.fired === 0) break;
      }
    }
  });

  test('a claim that vanished without a newer one is a lying store', async () => {
    const store = new MemoryStore();
    const claim = await claimEpoch(store, 'shop', 'run');
    store.objects.clear();
    await expect(checkEpoch(store, 'shop', claim)).rejects.toMatchObject({ code: 'repositoryLost' });
  });
});
