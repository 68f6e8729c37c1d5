import { join } from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { CopyOnWriteStore } from '../../providers/repository/decorators/copy-on-write.ts';
import { FaultInjectingStore } from '../../providers/repository/decorators/fault-injecting.ts';
import { RecordingStore } from '../../providers/repository/decorators/recording.ts';
import { ThrottledStore } from '../../providers/repository/decorators/throttled.ts';
import { DiskStore } from '../../providers/repository/disk-store.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { openS3Store } from '../../providers/repository/s3-store.ts';
import { s3Missing, startS3, type S3Server, tempDir, type TempDir } from '../support/index.ts';
import { objectStoreContract } from './object-store.ts';

const directories: TempDir[] = [];
let server: Promise<S3Server> | undefined;
afterAll(async () => {
  for (const directory of directories) await directory.stop();
  await (await server)?.stop();
});

const disk = (): Promise<DiskStore> => {
  const directory = tempDir('store');
  directories.push(directory);
  return Promise.resolve(new DiskStore({ name: 'disk', path: join(directory.path, 'not yet', 'there') }));
};
const memory = () => Promise.resolve(new MemoryStore());

objectStoreContract('memory', { open: memory });
objectStoreContract('disk', { open: disk });
objectStoreContract('fault injecting without faults', { open: async () => new FaultInjectingStore(await memory()) });
objectStoreContract('copy on write', { open: async () => new CopyOnWriteStore(await memory(), await memory(), await memory()) });
objectStoreContract('recording', { open: async () => new RecordingStore(await memory()) });
objectStoreContract('throttled', {
  open: async () => new ThrottledStore(await memory(), { bytesPerSecond: 1024 ** 3, latencyMs: 1 }),
  many: 120,
});

describe.skipIf(s3Missing() !== undefined)('with a server', () => {
  const s3 = async (prefix: string, multipartThreshold?: number) => {
    server ??= startS3();
    const { bucket, endpoint, region, accessKeyId, secretAccessKey } = await server;
    return openS3Store(
      's3',
      {
        type: 's3',
        bucket,
        prefix,
        endpoint,
        region,
        accessKeyId,
        secretAccessKey,
        forcePathStyle: true,
        multipartThreshold,
      },
      { backoffMs: 10, pageKeys: 50 },
    );
  };
  objectStoreContract('S3', { open: async () => s3('plain/'), many: 120 });
  objectStoreContract('S3 in parts, under an odd prefix', {
    open: async () => s3('a b+c/%d', 6 * 1024 ** 2),
    many: 60,
  });
});

const missing = s3Missing();
if (missing !== undefined) test.skip(`S3 is not tested here: ${missing}`, () => undefined);
