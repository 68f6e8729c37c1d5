import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { VerifyDepth } from '../../../domain/backup.ts';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { keysOf } from '../../../providers/repository/layout.ts';
import { closeCryptoPool } from '../../../providers/vault/crypto-pool.ts';
import { generateHostKey } from '../../../providers/vault/host-key.ts';
import { openBackup } from '../../../providers/vault/open.ts';
import { formatManifest, sealIndex, sha256Hex, sha256Sums, signManifest } from '../../../providers/vault/publish.ts';
import { verifyStored } from '../../../providers/vault/verify.ts';
import type { ContentChecker, VerifyOptions } from '../../../providers/vault/verify.ts';
import { sealTestBackup, tarOf, testBytes, testRef } from './sealed-backup.ts';
import type { SealedTestBackup } from './sealed-backup.ts';

let identity = '';
let recipient = '';
let store = new MemoryStore();
let sealed: SealedTestBackup;
let other: SealedTestBackup;
beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
});
afterAll(closeCryptoPool);
beforeEach(async () => {
  store = new MemoryStore('disk-a');
  const streams = [
    { name: 'base.tar', kind: 'tar' as const, bytes: tarOf([{ path: 'base/1/2', content: testBytes(30_000) }]) },
    { name: 'backup_manifest', kind: 'blob' as const, bytes: testBytes(5000, 'm') },
  ];
  const hostKey = await generateHostKey();
  sealed = await sealTestBackup(store, streams, { recipients: [recipient], hostKey });
  other = await sealTestBackup(store, streams, { recipients: [recipient], hostKey, ref: testRef('zzz999zzz999') });
});

const body = (key: string): Buffer => store.objects.get(key)?.body ?? Buffer.alloc(0);
const replace = (key: string, bytes: Uint8Array): void =>
  void store.objects.set(key, { body: Buffer.from(bytes), modifiedAt: '' });
const flip = (key: string, at: number): void =>
  replace(
    key,
    body(key).map((byte, i) => (i === (at + body(key).length) % body(key).length ? byte ^ 0x10 : byte)),
  );
const partKey = (n: number, of = sealed): string => keysOf(of.ref).part('a1', n);
const verify = (depth: VerifyDepth, more: Partial<VerifyOptions> = {}) =>
  verifyStored({
    store,
    ref: sealed.ref,
    manifestBytes: sealed.manifestBytes,
    depth,
    trusted: [sealed.hostKey.publicKey],
    ...(depth === 'checksum' ? {} : { keys: sealed.keys }),
    ...more,
  });
const open = (stores = [store], trusted = [sealed.hostKey.publicKey]) =>
  openBackup({ stores, ref: sealed.ref, credentials: { identities: [identity] }, trusted });

const depths: VerifyDepth[] = ['checksum', 'authenticated', 'content'];

describe('B10 a whole backup verifies', () => {
  test.each(depths)('%s', async (depth) => {
    let seen = 0;
    const result = await verify(depth, {
      onProgress: (bytes) => {
        seen += bytes;
      },
    });
    expect(result).toEqual({
      depth,
      parts: sealed.index.parts.length,
      bytes: sealed.manifest.bytes.stored + body(keysOf(sealed.ref).index).length,
    });
    expect(seen).toBe(sealed.manifest.bytes.stored);
  });

  test('before the manifest is published, and with keys at depth checksum', async () => {
    store.objects.delete(keysOf(sealed.ref).manifest);
    await verify('checksum', { keys: sealed.keys });
    await verify('authenticated');
  });

  test('the engine check sees every stream whole and in order, and its word counts', async () => {
    const seen = new Map<string, Buffer>();
    const order: string[] = [];
    const checker: ContentChecker = {
      write: (stream, chunk) =>
        void seen.set(stream.name, Buffer.concat([seen.get(stream.name) ?? Buffer.alloc(0), chunk])),
      endStream: (stream) => void order.push(stream.name),
      end: () => void order.push('end'),
    };
    await verify('content', { engineCheck: () => checker });
    expect(order).toEqual(['base.tar', 'backup_manifest', 'end']);
    expect(seen.get('backup_manifest')?.equals(testBytes(5000, 'm'))).toBe(true);
    expect(seen.get('base.tar')?.length).toBe(sealed.index.streams[0]?.bytes);
    await expect(
      verify('content', { engineCheck: () => ({ write: () => Promise.reject(new Error('engine says no')) }) }),
    ).rejects.toThrow('engine says no');
  });

  test('deeper than the keys at hand is refused, and so are the keys of another backup', async () => {
    await expect(
      verifyStored({ store, ref: sealed.ref, manifestBytes: sealed.manifestBytes, depth: 'authenticated' }),
    ).rejects.toMatchObject({ code: 'keyMissing' });
    await expect(verify('content', { keys: other.keys })).rejects.toMatchObject({ code: 'wrongKey' });
  });

  test('cancelled', async () => {
    await expect(verify('content', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' });
  });
});

const objects = () => keysOf(sealed.ref);
const matrix: [string, () => void, string, RegExp][] = [
  ['a part missing', () => void store.objects.delete(partKey(3)), 'partMissing', /part 3 .*a1-000003.* disk-a/],
  [
    'the last part missing',
    () => void store.objects.delete(partKey(sealed.index.parts.length)),
    'partMissing',
    /part \d+/,
  ],
  [
    'a part empty',
    () => {
      replace(partKey(2), new Uint8Array());
    },
    'partCorrupt',
    /part 2 /,
  ],
  [
    'a part truncated by a byte',
    () => {
      replace(partKey(2), body(partKey(2)).subarray(0, -1));
    },
    'partCorrupt',
    /part 2 .*expected/,
  ],
  [
    'a part longer',
    () => {
      replace(partKey(2), Buffer.concat([body(partKey(2)), Buffer.of(0)]));
    },
    'partCorrupt',
    /part 2 /,
  ],
  [
    'one bit flipped at the beginning',
    () => {
      flip(partKey(1), 0);
    },
    'partCorrupt',
    /part 1 .*SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}/,
  ],
  [
    'one bit flipped in the tag',
    () => {
      flip(partKey(4), -1);
    },
    'partCorrupt',
    /part 4 /,
  ],
  [
    'two parts swapped',
    () => {
      const [a, b] = [body(partKey(1)), body(partKey(2))];
      replace(partKey(1), b);
      replace(partKey(2), a);
    },
    'partCorrupt',
    /part [12] /,
  ],
  [
    "another backup's part in its place",
    () => {
      replace(partKey(2), body(partKey(2, other)));
    },
    'partCorrupt',
    /part 2 /,
  ],
  [
    'the index altered',
    () => {
      flip(objects().index, 9);
    },
    'partCorrupt',
    /index.*SHA-256/,
  ],
  ['the index missing', () => void store.objects.delete(objects().index), 'partMissing', /index/],
  [
    "another backup's index",
    () => {
      replace(objects().index, body(keysOf(other.ref).index));
    },
    'partCorrupt',
    /index/,
  ],
];

describe('B10 damage is found', () => {
  for (const [what, damage, code, message] of matrix) {
    test.each(depths)(`${what}, at depth %s`, async (depth) => {
      damage();
      await expect(verify(depth)).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    });
    test(`${what}, when it is read`, async () => {
      damage();
      const reading = open().then(async (reader) => {
        for (const stream of reader.index.streams) await reader.read(stream.name);
      });
      await expect(reading).rejects.toMatchObject({ code });
    });
    test(`${what}: a second store helps out`, async () => {
      const second = new MemoryStore('s3-b');
      for (const [key, object] of store.objects) second.objects.set(key, { ...object });
      damage();
      const reader = await open([store, second]);
      expect((await reader.read('base.tar', 'base/1/2')).equals(testBytes(30_000))).toBe(true);
      expect((await reader.read('backup_manifest')).equals(testBytes(5000, 'm'))).toBe(true);
    });
  }

  test.each(depths)('checksums altered, missing, at depth %s', async (depth) => {
    flip(objects().sums, 20);
    await expect(verify(depth)).rejects.toMatchObject({
      code: 'partCorrupt',
      message: expect.stringContaining('SHA256SUMS') as string,
    });
    store.objects.delete(objects().sums);
    await expect(verify(depth)).rejects.toMatchObject({ code: 'partMissing' });
  });

  test.each(depths)('wrapped keys gone, damaged, cut off, of another backup, at depth %s', async (depth) => {
    const key = `keys/${sealed.ref.id}/1.age`;
    const whole = body(key);
    const keyFiles = { '1.age': sha256Hex(whole), 'host.age': sha256Hex(body(`keys/${sealed.ref.id}/host.age`)) };
    await verify(depth, { keyFiles });
    for (const bad of [Buffer.alloc(0), Buffer.from('hello'), whole.subarray(0, -20), whole.subarray(0, 100)]) {
      replace(key, bad);
      await expect(verify(depth)).rejects.toMatchObject({
        code: 'partCorrupt',
        message: expect.stringContaining('1.age') as string,
      });
    }
    replace(key, body(`keys/${other.ref.id}/1.age`));
    await expect(verify(depth, { keyFiles })).rejects.toMatchObject({
      code: 'partCorrupt',
      message: expect.stringMatching(/1\.age.*SHA-256/) as string,
    });
    store.objects.delete(key);
    await expect(verify(depth)).rejects.toMatchObject({
      code: 'partMissing',
      message: expect.stringContaining('1.age') as string,
    });
    replace(key, whole);
    store.objects.delete(`keys/${sealed.ref.id}/host.age`);
    await expect(verify(depth, { keyFiles })).rejects.toMatchObject({
      code: 'partMissing',
      message: expect.stringContaining('host.age') as string,
    });
    await verify(depth);
  });

  test('a store that acknowledges and forgets', async () => {
    for (const key of [...store.objects.keys()].filter((each) => each.includes('/parts/'))) store.objects.delete(key);
    await expect(verify('checksum')).rejects.toMatchObject({ code: 'partMissing' });
  });

  test('an attacker who rewrites part, checksums and manifest lacks the host key', async () => {
    const forged = Buffer.from('forged part');
    const key = partKey(1);
    replace(key, forged);
    const sums = sha256Sums(
      'a1',
      sealed.index.parts.map((part) => (part.n === 1 ? { n: 1, sha256: sha256Hex(forged) } : part)),
      sealed.manifest.digests.index,
    );
    replace(objects().sums, sums);
    const altered = { ...sealed.manifest, digests: { ...sealed.manifest.digests, sha256sums: sha256Hex(sums) } };
    const trusted = [sealed.hostKey.publicKey];
    await expect(verify('checksum', { manifestBytes: formatManifest(altered), trusted })).rejects.toMatchObject({
      code: 'manifestInvalid',
      message: expect.stringContaining('altered') as string,
    });
    const resigned = formatManifest(signManifest(altered, await generateHostKey()));
    await expect(verify('checksum', { manifestBytes: resigned, trusted })).rejects.toMatchObject({
      code: 'manifestSignature',
    });
    replace(objects().manifest, resigned);
    await expect(open()).rejects.toMatchObject({ code: 'manifestSignature' });
  });

  test("even with consistent checksums another backup's part does not authenticate", async () => {
    const foreign = body(partKey(2, other));
    replace(partKey(2), foreign);
    const parts = sealed.index.parts.map((part) =>
      part.n === 2 ? { ...part, storedBytes: foreign.length, sha256: sha256Hex(foreign) } : part,
    );
    const indexObject = Buffer.from(sealIndex({ ...sealed.index, parts }, sealed.keys));
    const sums = sha256Sums('a1', parts, sha256Hex(indexObject));
    replace(objects().index, indexObject);
    replace(objects().sums, sums);
    const stored = parts.reduce((sum, part) => sum + part.storedBytes, 0);
    const manifestBytes = formatManifest(
      signManifest(
        {
          ...sealed.manifest,
          bytes: { ...sealed.manifest.bytes, stored },
          digests: { index: sha256Hex(indexObject), sha256sums: sha256Hex(sums) },
        },
        sealed.hostKey,
      ),
    );
    replace(objects().manifest, manifestBytes);
    await verify('checksum', { manifestBytes });
    await expect(verify('authenticated', { manifestBytes })).rejects.toMatchObject({
      code: 'partCorrupt',
      message: expect.stringMatching(/part 2 .*tag/) as string,
    });
    await expect(open().then((reader) => reader.read('base.tar'))).rejects.toMatchObject({ code: 'partCorrupt' });
  });

  test("another backup's manifest in its place", async () => {
    replace(objects().manifest, other.manifestBytes);
    await expect(open()).rejects.toMatchObject({
      code: 'manifestInvalid',
      message: expect.stringContaining("another backup's") as string,
    });
    await expect(verify('checksum')).rejects.toMatchObject({ code: 'manifestInvalid' });
    await expect(verify('checksum', { manifestBytes: other.manifestBytes })).rejects.toMatchObject({
      code: 'manifestInvalid',
    });
  });
});

describe('B9 keys decide what opens', () => {
  test('a wrong identity, none, and the host key', async () => {
    const credentials = async (given: Parameters<typeof openBackup>[0]['credentials']) =>
      openBackup({ stores: [store], ref: sealed.ref, credentials: given });
    await expect(credentials({ identities: [await generateX25519Identity()] })).rejects.toMatchObject({
      code: 'wrongKey',
    });
    await expect(credentials({})).rejects.toMatchObject({ code: 'keyMissing' });
    await expect(credentials({ passphrase: 'x' })).rejects.toMatchObject({ code: 'keyMissing' });
    await expect(credentials({ hostKey: await generateHostKey() })).rejects.toMatchObject({ code: 'wrongKey' });
    const byHost = await credentials({ hostKey: sealed.hostKey });
    expect(byHost.index).toEqual(sealed.index);
    await expect(byHost.read('backup_manifest')).rejects.toMatchObject({ code: 'keyMissing' });
    await expect(byHost.extract({ stream: 'base.tar', destination: '/nonexistent/x' })).rejects.toMatchObject({
      code: 'keyMissing',
    });
    expect((await (await credentials({ keys: sealed.keys })).read('backup_manifest')).length).toBe(5000);
  });

  test('a key file of another backup copied over is not believed', async () => {
    replace(`keys/${sealed.ref.id}/1.age`, body(`keys/${other.ref.id}/1.age`));
    await expect(open()).rejects.toMatchObject({
      code: 'wrongKey',
      message: expect.stringContaining(other.ref.id) as string,
    });
  });

  test('several key files: the one that fits is found', async () => {
    const more = await sealTestBackup(store, [{ name: 'b', kind: 'blob', bytes: testBytes(10) }], {
      recipients: [recipient],
      passphrase: 'pass word',
      ref: testRef('kkk'),
    });
    for (const credentials of [
      { identities: [identity] },
      { passphrase: 'pass word' },
      { identities: [await generateX25519Identity()], passphrase: 'pass word' },
    ])
      expect((await openBackup({ stores: [store], ref: more.ref, credentials })).index.backup).toBe('kkk');
    await expect(
      openBackup({ stores: [store], ref: more.ref, credentials: { passphrase: 'nope' } }),
    ).rejects.toMatchObject({ code: 'wrongKey' });
  });
});
