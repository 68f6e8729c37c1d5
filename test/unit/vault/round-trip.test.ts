import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { closeCryptoPool } from '../../../providers/vault/crypto-pool.ts';
import { openBackup } from '../../../providers/vault/open.ts';
import { sealTestBackup, tarOf, testBytes } from './sealed-backup.ts';

let identity = '';
let recipient = '';
let scratch = '';
beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  scratch = mkdtempSync(join(tmpdir(), 'resurgo-vault-'));
});
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await closeCryptoPool();
});

const open = async (store: MemoryStore, sealed: Awaited<ReturnType<typeof sealTestBackup>>) =>
  openBackup({
    stores: [store],
    ref: sealed.ref,
    credentials: { identities: [identity] },
    trusted: [sealed.hostKey.publicKey],
  });

describe('B9 B10 streams come back as they went in', () => {
  const part = 4096;
  test.each([0, 1, part - 1, part, part + 1, 2 * part, 9 * part + 17])('a blob of %i bytes', async (length) => {
    for (const compression of ['zstd', 'none'] as const) {
      const store = new MemoryStore();
      const bytes = testBytes(length);
      const sealed = await sealTestBackup(store, [{ name: 'globals.sql', kind: 'blob', bytes }], {
        recipients: [recipient],
        compression,
        partBytes: part,
      });
      expect(sealed.index.parts).toHaveLength(Math.ceil(length / part));
      const reader = await open(store, sealed);
      expect((await reader.read('globals.sql')).equals(bytes)).toBe(true);
      const chunks: Buffer[] = [];
      for await (const chunk of reader.stream('globals.sql')) chunks.push(chunk);
      expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    }
  });

  test('parts large enough for the crypto threads', async () => {
    const store = new MemoryStore();
    const bytes = testBytes(3_500_000);
    const sealed = await sealTestBackup(store, [{ name: 'b', kind: 'blob', bytes }], {
      recipients: [recipient],
      partBytes: 1024 * 1024,
      chunkBytes: 65536,
    });
    expect((await (await open(store, sealed)).read('b')).equals(bytes)).toBe(true);
    expect(sealed.manifest.bytes.stored).toBeLessThan(bytes.length);
  });

  test('any files in a tar, any part size, extract to the same tree', async () => {
    const content = fc.uint8Array({ maxLength: 3000 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(content, { maxLength: 12 }),
        fc.integer({ min: 512, max: 5000 }),
        fc.integer({ min: 1, max: 4000 }),
        async (contents, partBytes, chunkBytes) => {
          const store = new MemoryStore();
          const entries = contents.map((bytes, i) => ({
            path: `base/${String(i % 3)}/file-${String(i)}`,
            content: bytes,
          }));
          const sealed = await sealTestBackup(store, [{ name: 'base.tar', kind: 'tar', bytes: tarOf(entries) }], {
            recipients: [recipient],
            partBytes,
            chunkBytes,
          });
          const destination = mkdtempSync(join(scratch, 'x-'));
          const result = await (await open(store, sealed)).extract({ stream: 'base.tar', destination, fsync: false });
          expect(result).toEqual({
            files: contents.length,
            bytes: contents.reduce((sum, bytes) => sum + bytes.length, 0),
          });
          for (const entry of entries)
            expect(readFileSync(join(destination, entry.path)).equals(entry.content)).toBe(true);
          rmSync(destination, { recursive: true });
        },
      ),
      { numRuns: 40 },
    );
  });
});
