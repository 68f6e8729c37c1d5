/** What every object store does, whatever it is made of: one suite for disk, S3, memory and each decorator. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ObjectStore } from '../../domain/ports.ts';

export interface ContractOptions {
  /** A fresh, empty store. */
  readonly open: () => Promise<ObjectStore>;
  /** Objects in the listing test; more than one page. Default 1100. */
  readonly many?: number;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const collect = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
};

const oddKeys = [
  'with space/and  two',
  'Üñïcode/日本語/😀.txt',
  'quote\'s "double" `back`',
  'per%20cent%/100%',
  'plus+sign/a+b',
  'hash#mark/?query=1&x=2',
  'star*[a-z]{b}',
  'back\\slash',
  '~tilde/$HOME',
  'dots/..three/...',
  ' leading',
  'trailing ',
  '-dash',
  'semi;colon,comma=eq@at:colon!',
  '<xml>&amp;</xml>',
  `long/${'x'.repeat(200)}/${'y'.repeat(200)}/${'ä'.repeat(100)}/${'z'.repeat(200)}`,
];
const hostileKeys = [
  '',
  '/absolute',
  'a//b',
  'a/',
  '../up',
  'a/../../b',
  'a/./b',
  '.',
  '..',
  'new\nline',
  'nul\0',
  'del\u007f',
  '\ud800lone',
  'x'.repeat(1025),
];

export function objectStoreContract(name: string, options: ContractOptions): void {
  describe(`B8 object store contract: ${name}`, () => {
    let store: ObjectStore;
    beforeAll(async () => {
      store = await options.open();
    });
    afterAll(async () => {
      await store.close();
    });

    test('keeps 0 bytes, 1 byte and 20 MiB as they are', async () => {
      for (const size of [0, 1, 20 * 1024 ** 2]) {
        const body = randomBytes(size);
        const key = `sizes/${String(size)}`;
        await store.put(key, body, { sha256: digest(body) });
        const got = await store.get(key);
        expect(got.length).toBe(size);
        expect(digest(got)).toBe(digest(body));
        const head = await store.head(key);
        expect(head).toMatchObject({ key, size });
        expect(Math.abs(Date.parse(head?.modifiedAt ?? '') - Date.now())).toBeLessThan(3_600_000);
      }
    });

    test('takes a view into a larger buffer, and later changes of it do not matter', async () => {
      const large = randomBytes(1000);
      const view = new Uint8Array(large.buffer, large.byteOffset + 100, 50);
      const expected = digest(view);
      await store.put('view', view);
      large.fill(0);
      expect(digest(await store.get('view'))).toBe(expected);
    });

    test('keeps odd keys apart and lists them as they are', async () => {
      const keys = oddKeys.map((key) => `odd/${key}`);
      await Promise.all(keys.map(async (key) => store.put(key, Buffer.from(key))));
      for (const key of keys) {
        expect((await store.get(key)).toString()).toBe(key);
        expect(await store.head(key)).toMatchObject({ key });
      }
      const listed = await collect(store.list('odd/'));
      expect(listed.map((o) => o.key)).toEqual(
        [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
      expect(await collect(store.list('odd/per%20'))).toHaveLength(1);
      await store.delete(keys);
      expect(await collect(store.list('odd/'))).toEqual([]);
    });

    test('refuses keys that lead outside or cannot be told', async () => {
      for (const key of hostileKeys) {
        await expect(store.put(key, Buffer.from('x')), JSON.stringify(key)).rejects.toMatchObject({
          code: 'unsafePath',
        });
        await expect(store.get(key), JSON.stringify(key)).rejects.toMatchObject({ code: 'unsafePath' });
        await expect(store.delete([key]), JSON.stringify(key)).rejects.toMatchObject({ code: 'unsafePath' });
      }
      await expect(collect(store.list('../'))).rejects.toMatchObject({ code: 'unsafePath' });
      await expect(store.listDirectories('a/../')).rejects.toMatchObject({ code: 'unsafePath' });
    });

    test('gives ranges, and what is there when they go beyond the end', async () => {
      const body = randomBytes(1000);
      await store.put('ranges', body);
      const range = async (offset?: number, length?: number) =>
        store.get('ranges', {
          ...(offset === undefined ? {} : { offset }),
          ...(length === undefined ? {} : { length }),
        });
      expect(await range(0, 10)).toEqual(body.subarray(0, 10));
      expect(await range(990, 10)).toEqual(body.subarray(990));
      expect(await range(500)).toEqual(body.subarray(500));
      expect(await range(undefined, 5)).toEqual(body.subarray(0, 5));
      expect(await range(990, 100)).toEqual(body.subarray(990));
      expect(await range(1000, 10)).toHaveLength(0);
      expect(await range(2000)).toHaveLength(0);
      expect(await range(5, 0)).toHaveLength(0);
    });

    test('says objectMissing for what is not there', async () => {
      await expect(store.get('missing/object')).rejects.toMatchObject({ code: 'objectMissing' });
      await expect(store.get('missing/object', { offset: 1, length: 1 })).rejects.toMatchObject({
        code: 'objectMissing',
      });
      await expect(store.get('missing/object', { length: 0 })).rejects.toMatchObject({ code: 'objectMissing' });
      expect(await store.head('missing/object')).toBeUndefined();
      expect(await collect(store.list('missing/'))).toEqual([]);
      expect(await store.listDirectories('missing/')).toEqual([]);
    });

    test('an overwrite is seen whole or not at all', async () => {
      const versions = [1, 2, 3, 4, 5, 6].map((n) => Buffer.alloc(300_000 + n * 1000, n));
      const known = new Set(versions.map(digest));
      await store.put('overwrite', versions[0] ?? Buffer.of());
      let writing = true;
      const readers = Array.from({ length: 3 }, async () => {
        let reads = 0;
        while (writing) {
          expect(known.has(digest(await store.get('overwrite')))).toBe(true);
          reads++;
        }
        return reads;
      });
      for (const version of versions.slice(1)) await store.put('overwrite', version);
      writing = false;
      for (const reads of await Promise.all(readers)) expect(reads).toBeGreaterThan(0);
      expect(digest(await store.get('overwrite'))).toBe(digest(versions.at(-1) ?? Buffer.of()));
    });

    test('of 20 writers that ask for a new object exactly one gets it', async () => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, async (_, i) =>
          store.put('race/winner', Buffer.from(`writer ${String(i)}`), { ifAbsent: true }),
        ),
      );
      const winners = outcomes.flatMap((o, i) => (o.status === 'fulfilled' ? [i] : []));
      expect(winners).toHaveLength(1);
      for (const o of outcomes) if (o.status === 'rejected') expect(o.reason).toMatchObject({ code: 'objectExists' });
      expect((await store.get('race/winner')).toString()).toBe(`writer ${String(winners[0])}`);
      expect((await collect(store.list('race/'))).map((o) => o.key)).toEqual(['race/winner']);
      await expect(store.put('race/winner', Buffer.from('late'), { ifAbsent: true })).rejects.toMatchObject({
        code: 'objectExists',
      });
      expect((await store.get('race/winner')).toString()).toBe(`writer ${String(winners[0])}`);
    });

    test('lists more than a page in key order, and deletes it', async () => {
      const many = options.many ?? 1100;
      const keys = Array.from({ length: many }, (_, i) => `many/${String((i * 7919) % many).padStart(5, '0')}`);
      for (let i = 0; i < many; i += 50)
        await Promise.all(keys.slice(i, i + 50).map(async (key) => store.put(key, Buffer.from(key))));
      const listed = await collect(store.list('many/'));
      expect(listed.map((o) => o.key)).toEqual([...keys].sort());
      expect(listed.every((o) => o.size === 10)).toBe(true);
      expect((await collect(store.list('many/0000'))).map((o) => o.key)).toEqual(
        Array.from({ length: 10 }, (_, i) => `many/0000${String(i)}`),
      );
      // More than one batch of a delete, most of them gone already.
      await store.delete([...keys, ...Array.from({ length: 1100 }, (_, i) => `many/never-${String(i)}`)]);
      expect(await collect(store.list('many/'))).toEqual([]);
      expect(await store.listDirectories('')).not.toContain('many');
    });

    test('orders keys by their bytes, directories and files mixed', async () => {
      const keys = [
        'order/a',
        'order/a-b',
        'order/a.b/c',
        'order/a0',
        'order/ab/c',
        'order/ab.',
        'order/ab0',
        'order/ﬁ',
        'order/😀',
        'order/b/'.concat('x'),
      ];
      for (const key of keys) await store.put(key, Buffer.of(1));
      const expected = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect((await collect(store.list('order/'))).map((o) => o.key)).toEqual(expected);
      expect((await collect(store.list('order/a'))).map((o) => o.key)).toEqual(
        expected.filter((k) => k.startsWith('order/a')),
      );
    });

    test('lists the directories of one level, sorted', async () => {
      for (const key of ['dirs/b/1', 'dirs/b/2', 'dirs/a/x/y', 'dirs/file', 'dirs/c d/1', 'dirs/a.b/1'])
        await store.put(key, Buffer.of(1));
      expect(await store.listDirectories('dirs/')).toEqual(['a', 'a.b', 'b', 'c d']);
      expect(await store.listDirectories('dirs/a/')).toEqual(['x']);
      expect(await store.listDirectories('')).toContain('dirs');
      await store.delete(['dirs/b/1', 'dirs/b/2']);
      expect(await store.listDirectories('dirs/')).toEqual(['a', 'a.b', 'c d']);
    });

    test('deleting what is gone is success', async () => {
      await store.put('gone/one', Buffer.of(1));
      await store.delete(['gone/one', 'gone/never', 'gone/deep/never']);
      await store.delete(['gone/one']);
      await store.delete([]);
      expect(await store.head('gone/one')).toBeUndefined();
    });

    test('many puts, gets and deletes at once in one place', async () => {
      const bodies = Array.from({ length: 40 }, (_, i) => Buffer.alloc(50_000, i));
      await Promise.all(bodies.map(async (body, i) => store.put(`busy/${String(i)}`, body)));
      // Emptying and refilling the same directory at once must not lose a new object.
      await Promise.all([
        ...bodies.map(async (_, i) => store.delete([`busy/${String(i)}`])),
        ...bodies.map(async (body, i) => store.put(`busy/new-${String(i)}`, body)),
      ]);
      const listed = await collect(store.list('busy/'));
      expect(listed.map((o) => o.key).sort()).toEqual(bodies.map((_, i) => `busy/new-${String(i)}`).sort());
      for (const [i, body] of bodies.entries())
        expect((await store.get(`busy/new-${String(i)}`)).equals(body)).toBe(true);
    });

    test('an aborted signal ends every operation as cancelled', async () => {
      const signal = AbortSignal.abort(new Error('enough'));
      const cancelled = { code: 'cancelled' };
      await expect(store.put('cancel', Buffer.of(1), { signal })).rejects.toMatchObject(cancelled);
      await store.put('cancel', Buffer.of(1));
      await expect(store.get('cancel', { signal })).rejects.toMatchObject(cancelled);
      await expect(store.head('cancel', signal)).rejects.toMatchObject(cancelled);
      await expect(collect(store.list('cancel', signal))).rejects.toMatchObject(cancelled);
      await expect(store.listDirectories('', signal)).rejects.toMatchObject(cancelled);
      await expect(store.delete(['cancel'], signal)).rejects.toMatchObject(cancelled);
      expect(await store.head('cancel')).toBeDefined();
    });

    test('tells free bytes as a number or not at all', async () => {
      const free = await store.freeBytes();
      if (free !== undefined) expect(free).toBeGreaterThan(0);
    });
  });
}
