/** A small sealed backup in a store, made the way the activities make one. */
import { createHash } from 'node:crypto';
import type {
  AttemptKeys,
  BackupIndex,
  BackupRef,
  Compression,
  Manifest,
  PhysicalFacts,
  SignedManifest,
} from '../../../domain/backup.ts';
import type { ObjectStore } from '../../../domain/ports.ts';
import { hostKeyFile, keyFile, keysOf } from '../../../providers/repository/layout.ts';
import { generateHostKey, hostPublic } from '../../../providers/vault/host-key.ts';
import type { HostKey } from '../../../providers/vault/host-key.ts';
import { generateAttemptKeys, wrapKeys, wrapMetadataKey } from '../../../providers/vault/keys.ts';
import { formatManifest, sealIndex, sha256Hex, sha256Sums, signManifest } from '../../../providers/vault/publish.ts';
import { createBackupWriter } from '../../../providers/vault/seal.ts';
import { tarEnd, tarHeader, tarPadding } from '../../../providers/vault/tar-write.ts';
import type { TarEntry } from '../../../providers/vault/tar-write.ts';

export const testRef = (id = 'abc123def456'): BackupRef => ({
  target: 'shop',
  systemId: '7000000000000000001',
  name: `20261030T120000Z-full-${id}`,
  startedAt: '2026-10-30T12:00:00Z',
  kind: 'full',
  id,
});

export const physicalFacts: PhysicalFacts = {
  engine: 'physical',
  startLsn: '0/2000028',
  stopLsn: '0/2000100',
  timeline: 1,
  tablespaces: [],
  dataChecksums: true,
  blockSize: 8192,
  walSegmentBytes: 16777216,
  fromStandby: false,
  databases: [{ name: 'shop', bytes: 1 }],
};

export interface TestStream {
  readonly name: string;
  readonly kind: 'tar' | 'blob';
  readonly bytes: Uint8Array;
}
export interface SealedTestBackup {
  readonly ref: BackupRef;
  readonly keys: AttemptKeys;
  readonly hostKey: HostKey;
  readonly index: BackupIndex;
  readonly manifest: SignedManifest;
  readonly manifestBytes: Buffer;
}
export interface SealTestOptions {
  readonly ref?: BackupRef;
  readonly attempt?: string;
  readonly hostKey?: HostKey;
  readonly recipients?: readonly string[];
  readonly passphrase?: string;
  readonly compression?: Compression;
  readonly partBytes?: number;
  readonly chunkBytes?: number;
}

/** Seals, stores and publishes. */
export async function sealTestBackup(
  store: ObjectStore,
  streams: readonly TestStream[],
  options: SealTestOptions = {},
): Promise<SealedTestBackup> {
  const {
    ref = testRef(),
    attempt = 'a1',
    compression = 'zstd',
    partBytes = 4096,
    chunkBytes = 1000,
    recipients = [],
    passphrase,
  } = options;
  const hostKey = options.hostKey ?? (await generateHostKey());
  const keys = generateAttemptKeys(ref.id, attempt);
  const objects = keysOf(ref);
  const writer = createBackupWriter({
    keys,
    compression,
    partBytes,
    sink: (n, object, sha256) => store.put(objects.part(attempt, n), object, { sha256 }),
  });
  for (const stream of streams) {
    const sink = writer.openStream(stream.name, stream.kind);
    for (let at = 0; at < stream.bytes.length; at += chunkBytes)
      await sink.write(stream.bytes.subarray(at, at + chunkBytes));
    await sink.end();
  }
  const sealed = await writer.finish();
  const index: BackupIndex = {
    format: 1,
    backup: ref.id,
    attempt,
    streams: sealed.streams,
    parts: sealed.parts,
    engine: physicalFacts,
  };
  const indexObject = sealIndex(index, keys);
  const sums = sha256Sums(attempt, sealed.parts, sha256Hex(indexObject));
  const manifest = signManifest(
    testManifest(ref, attempt, compression, recipients, sealed, sums, indexObject),
    hostKey,
  );
  const manifestBytes = formatManifest(manifest);
  await store.put(objects.index, indexObject);
  await store.put(objects.sums, sums);
  let n = 1;
  if (recipients.length > 0) await store.put(keyFile(ref.id, n++), await wrapKeys(keys, { recipients }));
  if (passphrase !== undefined)
    await store.put(keyFile(ref.id, n), await wrapKeys(keys, { passphrase, scryptWorkFactor: 10 }));
  await store.put(hostKeyFile(ref.id), await wrapMetadataKey(keys, hostPublic(hostKey).recipient));
  await store.put(objects.manifest, manifestBytes);
  return { ref, keys, hostKey, index, manifest, manifestBytes };
}

function testManifest(
  ref: BackupRef,
  attempt: string,
  compression: Compression,
  recipients: readonly string[],
  sealed: { sourceBytes: number; storedBytes: number; parts: readonly unknown[] },
  sums: Uint8Array,
  index: Uint8Array,
): Manifest {
  return {
    schemaVersion: 1,
    format: 1,
    id: ref.id,
    target: ref.target,
    systemId: ref.systemId,
    name: ref.name,
    kind: ref.kind,
    engine: 'physical',
    parent: null,
    chain: [],
    attempt,
    startedAt: ref.startedAt,
    endedAt: '2026-10-30T12:00:09Z',
    durationMs: 9000,
    startedBy: 'test',
    bytes: { source: sealed.sourceBytes, stored: sealed.storedBytes },
    counts: { parts: sealed.parts.length, files: 1 },
    compression,
    encryption: { cipher: 'aes-256-gcm', recipients },
    digests: { sha256sums: sha256Hex(sums), index: sha256Hex(index) },
    versions: { resurgo: '0.1.0', server: '18.4' },
    checks: [],
    warnings: [],
  };
}

/** A tar stream of these entries. */
export function tarOf(entries: readonly (Omit<TarEntry, 'size'> & { readonly content?: Uint8Array })[]): Buffer {
  const blocks = entries.flatMap(({ content = new Uint8Array(), ...entry }) => [
    tarHeader({ ...entry, size: content.length }),
    content,
    tarPadding(content.length),
  ]);
  return Buffer.concat([...blocks, tarEnd()]);
}

/** Bytes that look like table data, the same for the same seed. */
export function testBytes(length: number, seed = 'seed'): Buffer {
  const chunks: Buffer[] = [];
  for (let have = 0, i = 0; have < length; i++) {
    const chunk = Buffer.from(
      `${String(i)}\t${createHash('sha256')
        .update(`${seed}${String(i)}`)
        .digest('base64')}\tsome words that come again and again\n`,
    );
    chunks.push(chunk);
    have += chunk.length;
  }
  return Buffer.concat(chunks).subarray(0, length);
}
