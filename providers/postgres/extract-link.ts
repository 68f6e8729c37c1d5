import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader, Spooled } from '../../domain/ports.ts';
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
  /** Size of the same files. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Those of them that lie in a spool. */
  readonly spooled: ReadonlyMap<string, Spooled>;
  /** Names of the signal files that were left out. */
  readonly signals: readonly string[];
}

export interface LinkPlaces {
  readonly dir: string;
  /** File for what is spooled of the data directory; needed with `spools`. */
  readonly spool?: string;
  /** Oid, stream and directory; with `linked` false it lies inside the data directory. */
  readonly tablespaces: readonly {
    readonly oid: string;
    readonly stream: string;
    readonly dir: string;
    readonly linked: boolean;
    readonly spool?: string;
  }[];
}

export interface LinkOptions {
  /** Where it was read before. */
  readonly manifest?: BackupManifest;
  /** Only these files, by their paths in the manifest, are added to a tree that is there already; it has the directories and links. */
  readonly only?: ReadonlySet<string>;
  /** Files whose content goes to the spool. */
  readonly spools?: (path: string) => boolean;
  /** Let the disk begin while the rest is extracted; for a tree that will be synced. */
  readonly flush?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (bytes: number) => void;
}

/** @throws contentMismatch, unsupported */
export async function readManifest(reader: BackupReader, signal: AbortSignal | undefined): Promise<BackupManifest> {
  if (reader.index.engine.engine !== 'physical')
    throw new ResurgoError('unsupported', `Backup ${reader.manifest.name} is not a physical one.`);
  return parseBackupManifest(await reader.read('backup_manifest', undefined, signal));
}

/**
 * Extracts one backup as a plain data directory with links to its tablespaces, or adds to one. Nothing is durable yet.
 * @throws what the reader throws, contentMismatch
 */
export async function extractLink(
  reader: BackupReader,
  places: LinkPlaces,
  options: LinkOptions,
): Promise<ExtractedLink> {
  const { only, spools, signal, onProgress } = options;
  const manifest = options.manifest ?? (await readManifest(reader, signal));
  const signals: string[] = [];
  const sizes = new Map<string, number>();
  const crc32c = new Map<string, number>();
  const spooled = new Map<string, Spooled>();
  let [files, bytes] = [0, 0];

  const extract = async (stream: string, destination: string, spool: string | undefined): Promise<void> => {
    const prefix = streamPrefix(stream) ?? '';
    const done = await reader.extract({
      stream,
      destination,
      map: (file) => {
        const path = `${prefix}${file.path}`;
        if (isLeftOut(path)) {
          if (path.endsWith('.signal')) signals.push(path);
          return undefined;
        }
        if (only !== undefined && (file.type !== 'file' || !only.has(path))) return undefined;
        if (file.type === 'file') sizes.set(path, file.size);
        return file.path;
      },
      ...(spools !== undefined && spool !== undefined
        ? { spool: { path: spool, takes: (path: string) => spools(`${prefix}${path}`) } }
        : {}),
      fsync: options.flush === true ? 'ahead' : false,
      crc32c: true,
      ...(signal ? { signal } : {}),
      ...(onProgress ? { onProgress } : {}),
    });
    files += done.files;
    bytes += done.bytes;
    for (const [path, crc] of done.crc32c ?? []) crc32c.set(`${prefix}${path}`, crc);
    for (const [path, at] of done.spooled ?? []) spooled.set(`${prefix}${path}`, at);
  };

  await mkdir(places.dir, { recursive: true, mode: 0o700 });
  await extract('base.tar', places.dir, places.spool);
  for (const { oid, stream, dir, linked, spool } of places.tablespaces) {
    await extract(stream, dir, spool);
    if (!linked || only !== undefined) continue;
    const link = join(places.dir, 'pg_tblspc', oid);
    // A backup taken without the map file has the link itself, to the old place.
    await rm(link, { force: true });
    await mkdir(join(places.dir, 'pg_tblspc'), { recursive: true, mode: 0o700 });
    await symlink(dir, link);
  }
  return { dir: places.dir, manifest, files, bytes, crc32c, sizes, spooled, signals };
}
