import { createHash } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { closeCryptoPool, open, seal } from '../../../providers/vault/crypto-pool.ts';
import { slotBytes } from '../../../providers/vault/crypto-jobs.ts';

afterAll(closeCryptoPool);

test("B10 a small object of a large part may lie in Node's shared buffer pool, which is never handed over", async () => {
  const plainBytes = 1024 * 1024;
  const name = { backup: 'b', attempt: 'a', n: 1 };
  const key = Buffer.alloc(32, 7);
  const sealed = await seal({
    type: 'seal',
    slot: new ArrayBuffer(slotBytes(plainBytes)),
    plainBytes,
    name,
    key,
    compression: 'zstd',
    level: 1,
  });
  const object = Buffer.from(Buffer.from(sealed.slot, 0, sealed.storedBytes));
  expect(object.buffer.byteLength).toBe(Buffer.poolSize);
  const { plain } = await open({
    type: 'open',
    object,
    sha256: sealed.sha256,
    name,
    key,
    content: { compression: 'zstd', plainBytes },
  });
  expect(
    createHash('sha256')
      .update(plain ?? '')
      .digest('hex'),
  ).toBe(createHash('sha256').update(Buffer.alloc(plainBytes)).digest('hex'));
});
