import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { parseBackupManifest } from './backup-manifest.ts';
import type { BackupManifest } from './backup-manifest.ts';
import { streamPrefix } from './manifest-streams.ts';

/**
 * Of a base backup but not of a new cluster: the links to tablespaces are made here; a signal file (the backup came from a standby)
 * would make it follow the old primary; the rest belongs to a running server.
 */
const leftOut = new Set([
  'tablespace_map',
  'standby.signal',
  'recovery.signal',
  'postmaster.pid',
  'postmaster.opts',
  'backup_manifest',
]);
export const isLeftOut = (path: string): boolean => leftOut.has(path);

export interface ExtractedLink {
  readonly dir: string;
  readonly manifest: BackupManifest;
  readonly files: number;
  readonly bytes: number;
  /** Of every file's content as it was written, by its path in the manifest. */
  readonly crc32c: ReadonlyMap<string, number>;
  /** Names of the signal files that were left out. */
  readonly signals: readonly string[];
}

export interface LinkPlaces {
  readonly dir: string;
  /** Oid, stream and directory; with `linked` false it lies inside the data directory. */
  readonly tablespaces: readonly {
    readonly oid: string;
    readonly stream: string;
    readonly dir: string;
    readonly linked: boolean;
  }[];
}

/**
 * Extracts one backup as a plain data directory with links to its tablespaces. Nothing is durable yet.
 * @param flush let the disk begin while the rest is extracted; for a tree that will be synced, not for one that is used up
 * @throws what the reader throws, contentMismatch
 */
export async function extractLink(
  reader: BackupReader,
  places: LinkPlaces,
  options: { flush?: boolean; signal?: AbortSignal | undefined; onProgress?: (bytes: number) => void },
): Promise<ExtractedLink> {
  const manifest = parseBackupManifest(await reader.read('backup_manifest', undefined, options.signal));
  if (reader.index.engine.engine !== 'physical')
    throw new ResurgoError('unsupported', `Backup ${reader.manifest.name} is not a physical one.`);
  const signals: string[] = [];
  const common = {
    fsync: options.flush === true ? ('ahead' as const) : false,
    crc32c: true,
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
  };
  const map = (file: FileRecord): string | undefined => {
    if (!isLeftOut(file.path)) return file.path;
    if (file.path.endsWith('.signal')) signals.push(file.path);
    return undefined;
  };
  await mkdir(places.dir, { recursive: true, mode: 0o700 });
  const base = await reader.extract({ stream: 'base.tar', destination: places.dir, map, ...common });
  let { files, bytes } = base;
  const crc32c = new Map(base.crc32c);
  for (const { oid, stream, dir, linked } of places.tablespaces) {
    const done = await reader.extract({ stream, destination: dir, ...common });
    files += done.files;
    bytes += done.bytes;
    for (const [path, crc] of done.crc32c ?? []) crc32c.set(`${streamPrefix(stream) ?? ''}${path}`, crc);
    if (!linked) continue;
    const link = join(places.dir, 'pg_tblspc', oid);
    // A backup taken without the map file has the link itself, to the old place.
    await rm(link, { force: true });
    await mkdir(join(places.dir, 'pg_tblspc'), { recursive: true, mode: 0o700 });
    await symlink(dir, link);
  }
  return { dir: places.dir, manifest, files, bytes, crc32c, signals };
}
