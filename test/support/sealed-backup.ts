import { randomBytes } from 'node:crypto';
import type { BackupIndex, LogicalFacts, Manifest, PhysicalFacts } from '../../domain/backup.ts';
import type { BackupReader, BackupWriter } from '../../domain/ports.ts';
import { backupName, backupRef, keysOf } from '../../providers/repository/layout.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { generateHostKey } from '../../providers/vault/host-key.ts';
import { generateAttemptKeys } from '../../providers/vault/keys.ts';
import { openBackup } from '../../providers/vault/open.ts';
import { formatManifest, sealIndex, sha256Hex, signManifest } from '../../providers/vault/publish.ts';
import { createBackupWriter } from '../../providers/vault/seal.ts';

/** Seals what an engine writes into a store in memory, by the real vault, and opens it for reading. */
export async function sealedBackup<Facts extends LogicalFacts | PhysicalFacts>(
  dump: (writer: BackupWriter) => Promise<Facts>,
  options: { partBytes?: number } = {},
): Promise<{ reader: BackupReader; facts: Facts; store: MemoryStore }> {
  const store = new MemoryStore('memory');
  const id = randomBytes(6).toString('hex');
  const startedAt = new Date().toISOString();
  const ref = backupRef('test', '1', backupName({ startedAt, kind: 'full', id }));
  if (ref === undefined) throw new Error('no reference');
  const keys = generateAttemptKeys(id, 'a1');
  const objects = keysOf(ref);
  const writer = createBackupWriter({
    keys,
    compression: 'zstd',
    level: 1,
    ...options,
    sink: (n, object) => store.put(objects.part('a1', n), Buffer.from(object)),
  });
  let facts: Facts;
  try {
    facts = await dump(writer);
  } catch (error) {
    await writer.abort(error);
    throw error;
  }
  const sealed = await writer.finish();
  const index: BackupIndex = {
    format: 1,
    backup: id,
    attempt: 'a1',
    streams: sealed.streams,
    parts: sealed.parts,
    engine: facts,
  };
  const indexObject = sealIndex(index, keys);
  await store.put(objects.index, indexObject);
  const manifest: Manifest = {
    schemaVersion: 1,
    format: 1,
    id,
    target: 'test',
    systemId: '1',
    name: ref.name,
    kind: 'full',
    engine: facts.engine,
    parent: null,
    chain: [],
    attempt: 'a1',
    startedAt,
    endedAt: startedAt,
    durationMs: 0,
    startedBy: 'test',
    bytes: { source: sealed.sourceBytes, stored: sealed.storedBytes },
    counts: { parts: sealed.parts.length, files: 1 },
    compression: 'zstd',
    encryption: { cipher: 'aes-256-gcm', recipients: [] },
    digests: { sha256sums: sha256Hex(Buffer.alloc(0)), index: sha256Hex(indexObject) },
    versions: { resurgo: '0', server: '0' },
    checks: [],
    warnings: [],
  };
  await store.put(objects.manifest, formatManifest(signManifest(manifest, await generateHostKey())));
  return { reader: await openBackup({ stores: [store], ref, credentials: { keys } }), facts, store };
}
