import { describe, expect, test } from 'vitest';
import { ownSecond } from '../../../activities/backup-prepare.ts';
import { backupName, keysOf } from '../../../providers/repository/layout.ts';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';

const systemId = '7000000000000000001';
async function storeWith(startedAt: string): Promise<MemoryStore> {
  const store = new MemoryStore();
  const name = backupName({ startedAt, kind: 'full', id: 'zzzzzzzzzzzz' });
  await store.put(keysOf({ target: 'shop', systemId, name }).manifest, Buffer.from('{}'));
  return store;
}
const second = (time: string): string => time.slice(0, 19);

describe('B15 names tell which backup is the newest', () => {
  test('one that begins in the same second as the one before waits for the next second', async () => {
    const now = new Date().toISOString();
    const own = await ownSecond(await storeWith(now), 'shop', now);
    expect(second(own) > second(now)).toBe(true);
    // It is no later than the clock says.
    expect(Date.parse(own)).toBeLessThanOrEqual(Date.now());
  });

  test('the first one, a later one, and one beside a name from the future do not wait', async () => {
    const now = new Date().toISOString();
    expect(await ownSecond(new MemoryStore(), 'shop', now)).toBe(now);
    for (const away of [-5000, 3_600_000]) expect(await ownSecond(await storeWith(new Date(Date.parse(now) + away).toISOString()), 'shop', now)).toBe(now);
  });
});
