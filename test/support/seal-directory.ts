import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupReader } from '../../domain/ports.ts';
import { backupName, backupRef } from '../../providers/repository/layout.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { crc32c, crc32cHex } from '../../providers/vault/crc32c.ts';
import { openBackup } from '../../providers/vault/open.ts';
import { sealTestBackup, tarOf } from '../unit/vault/sealed-backup.ts';

/** A `backup_manifest` as PostgreSQL 17 and 18 write it. */
export function manifestText(files: readonly { readonly path: string; readonly bytes: Uint8Array }[]): Buffer {
  const listed = files.map(({ path, bytes }) => ({
    Path: path,
    Size: bytes.length,
    'Last-Modified': '2026-11-21 00:00:00 GMT',
    'Checksum-Algorithm': 'CRC32C',
    Checksum: crc32cHex(crc32c(bytes)),
  }));
  const body = `{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": 7710554409514859427,\n"Files": [\n${listed.map((file) => JSON.stringify(file)).join(',\n')}\n],\n"WAL-Ranges": [\n],\n`;
  return Buffer.from(`${body}"Manifest-Checksum": "${createHash('sha256').update(body).digest('hex')}"}\n`);
}

/**
 * Seals a directory as a base backup of one stream, with the manifest it would have.
 * @param distort changes what is sealed of a file (full path) behind the manifest's back
 */
export async function sealDirectory(
  dir: string,
  distort: (file: { path: string; bytes: Buffer }) => Buffer = ({ bytes }) => bytes,
): Promise<BackupReader> {
  const files: { path: string; bytes: Buffer }[] = [];
  const directories: string[] = [];
  const visit = (at: string): void => {
    for (const entry of readdirSync(join(dir, at), { withFileTypes: true })) {
      const path = at === '' ? entry.name : `${at}/${entry.name}`;
      if (entry.isFile() && path !== 'backup_manifest') files.push({ path, bytes: readFileSync(join(dir, path)) });
      if (!entry.isDirectory()) continue;
      directories.push(path);
      visit(path);
    }
  };
  visit('');
  const common = { mtime: 0, uid: 0, gid: 0 };
  const tar = tarOf([
    ...directories.map((path) => ({ ...common, path, type: 'directory' as const, mode: 0o700 })),
    ...files.map(({ path, bytes }) => ({ ...common, path, type: 'file' as const, mode: 0o600, content: distort({ path: join(dir, path), bytes }) })),
  ]);
  const store = new MemoryStore();
  const id = randomBytes(6).toString('hex');
  const startedAt = '2026-10-30T12:00:00Z';
  const ref = backupRef('shop', '7000000000000000001', backupName({ startedAt, kind: 'full', id }));
  if (ref === undefined) throw new Error('no reference');
  const { keys } = await sealTestBackup(
    store,
    [
      { name: 'base.tar', kind: 'tar', bytes: tar },
      { name: 'backup_manifest', kind: 'blob', bytes: manifestText(files) },
    ],
    // Small enough that files, and increments, are cut by the ends of parts.
    { ref, partBytes: 1_000_000, chunkBytes: 65_536 },
  );
  return openBackup({ stores: [store], ref, credentials: { keys } });
}
