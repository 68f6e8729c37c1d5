import { randomBytes } from 'node:crypto';
import type { AttemptKeys, BackupIndex, BackupKind, BackupRef, Manifest } from '../../domain/backup.ts';
import type { BackupReader, ObjectStore } from '../../domain/ports.ts';
import type { PostgresConnection } from '../../providers/postgres/connection.ts';
import { dumpPhysical } from '../../providers/postgres/physical-dump.ts';
import type { PhysicalDump, PhysicalDumpOptions } from '../../providers/postgres/physical-dump.ts';
import { backupName, backupRef, keyFile, keysOf } from '../../providers/repository/layout.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { generateHostKey } from '../../providers/vault/host-key.ts';
import { generateAttemptKeys, wrapKeys } from '../../providers/vault/keys.ts';
import { openBackup } from '../../providers/vault/open.ts';
import { formatManifest, sealIndex, sha256Hex, sha256Sums, signManifest } from '../../providers/vault/publish.ts';
import { createBackupWriter } from '../../providers/vault/seal.ts';

export interface TakenBackup {
  readonly reader: BackupReader;
  readonly dump: PhysicalDump;
  readonly store: ObjectStore;
  readonly ref: BackupRef;
  readonly keys: AttemptKeys;
  readonly manifestBytes: Uint8Array;
}

export interface TakeOptions extends Partial<Omit<PhysicalDumpOptions, 'connection' | 'writer' | 'incremental'>> {
  readonly parent?: TakenBackup;
  readonly kind?: BackupKind;
  readonly store?: ObjectStore;
}

/** A physical backup by the real engine, sealed by the real vault into memory, opened for reading. */
export async function takePhysical(connection: PostgresConnection, options: TakeOptions = {}): Promise<TakenBackup> {
  const { parent, store = new MemoryStore('memory'), kind = parent ? 'incremental' : 'full', ...rest } = options;
  const id = randomBytes(6).toString('hex');
  const keys = generateAttemptKeys(id, 'a1');
  const startedAt = new Date().toISOString();
  const parts: { n: number; object: Buffer }[] = [];
  const writer = createBackupWriter({
    keys,
    compression: 'zstd',
    level: 1,
    sink: (n, object) => {
      parts.push({ n, object: Buffer.from(object) });
      return Promise.resolve();
    },
  });
  let dump: PhysicalDump;
  try {
    dump = await dumpPhysical({
      label: `test ${id}`,
      checkpoint: 'fast',
      ...rest,
      connection,
      writer,
      ...(parent ? { incremental: { parentManifest: parent.dump.backupManifest } } : {}),
    });
  } catch (error) {
    await writer.abort(error);
    throw error;
  }
  const sealed = await writer.finish();
  const systemId = dump.manifest.systemId ?? '1';
  const ref = backupRef('test', systemId, backupName({ startedAt, kind, id }));
  if (!ref) throw new Error('no reference');
  const objects = keysOf(ref);
  for (const { n, object } of parts) await store.put(objects.part('a1', n), object);
  const index: BackupIndex = {
    format: 1,
    backup: id,
    attempt: 'a1',
    streams: sealed.streams,
    parts: sealed.parts,
    engine: dump.facts,
    engineManifest: dump.backupManifest.toString('utf8'),
  };
  const indexObject = sealIndex(index, keys);
  const sums = sha256Sums('a1', sealed.parts, sha256Hex(indexObject));
  await store.put(objects.index, indexObject);
  await store.put(objects.sums, sums);
  await store.put(keyFile(id, 1), await wrapKeys(keys, { passphrase: 'test', scryptWorkFactor: 10 }));
  const manifest: Manifest = {
    schemaVersion: 1,
    format: 1,
    id,
    target: 'test',
    systemId,
    name: ref.name,
    kind,
    engine: 'physical',
    parent: parent?.reader.manifest.id ?? null,
    chain: parent ? [...parent.reader.manifest.chain, parent.reader.manifest.id] : [],
    attempt: 'a1',
    startedAt,
    endedAt: startedAt,
    durationMs: 0,
    startedBy: 'test',
    bytes: { source: sealed.sourceBytes, stored: sealed.storedBytes },
    counts: { parts: sealed.parts.length, files: dump.files },
    compression: 'zstd',
    encryption: { cipher: 'aes-256-gcm', recipients: [] },
    digests: { sha256sums: sha256Hex(sums), index: sha256Hex(indexObject) },
    versions: { resurgo: '0', server: dump.serverVersion },
    checks: [...dump.checks],
    warnings: [...dump.warnings],
  };
  const manifestBytes = formatManifest(signManifest(manifest, await generateHostKey()));
  await store.put(objects.manifest, manifestBytes);
  return {
    reader: await openBackup({ stores: [store], ref, credentials: { keys } }),
    dump,
    store,
    ref,
    keys,
    manifestBytes,
  };
}
