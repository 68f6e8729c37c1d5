import { createHash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import { textOfBytes } from '../vault/tar-path.ts';

export { checkManifestAgainstStreams } from './manifest-streams.ts';

export type ManifestChecksum = 'CRC32C' | 'SHA224' | 'SHA256' | 'SHA384' | 'SHA512' | 'NONE';

export interface ManifestFile {
  /** Relative to the data directory; tablespace files are `pg_tblspc/<oid>/…`. Text as `textOfBytes` makes it, like the tar index. */
  readonly path: string;
  readonly size: number;
  readonly algorithm: ManifestChecksum;
  /** Lower-case hex; CRC32C little-endian as PostgreSQL writes it; empty for NONE. */
  readonly checksum: string;
}

export interface WalRange {
  readonly timeline: number;
  readonly startLsn: string;
  readonly endLsn: string;
}

/** PostgreSQL's `backup_manifest`, parsed and its own checksum verified. */
export interface BackupManifest {
  readonly version: number;
  /** Decimal; undefined in version 1 (PostgreSQL 15 and 16). */
  readonly systemId: string | undefined;
  readonly files: ReadonlyMap<string, ManifestFile>;
  readonly walRanges: readonly WalRange[];
}

const bad = (message: string, cause?: unknown): ResurgoError =>
  new ResurgoError('contentMismatch', `backup_manifest: ${message}`, { cause });

interface RawFile {
  Path?: unknown;
  'Encoded-Path'?: unknown;
  Size?: unknown;
  'Checksum-Algorithm'?: unknown;
  Checksum?: unknown;
}

function parseFile(raw: RawFile): ManifestFile {
  const encoded = raw['Encoded-Path'];
  const path = typeof encoded === 'string' ? textOfBytes(Buffer.from(encoded, 'hex')) : raw.Path;
  if (typeof path !== 'string' || path === '') throw bad('a file has no path.');
  if (path.startsWith('/') || path.split('/').includes('..'))
    throw new ResurgoError(
      'unsafePath',
      `backup_manifest names ${JSON.stringify(path)}, which leads out of the data directory.`,
    );
  const size = raw.Size;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw bad(`${path} has no size.`);
  const algorithm = (raw['Checksum-Algorithm'] ?? 'NONE') as ManifestChecksum;
  if (!['CRC32C', 'SHA224', 'SHA256', 'SHA384', 'SHA512', 'NONE'].includes(algorithm))
    throw bad(`${path} has the unknown checksum algorithm ${String(algorithm)}.`);
  const checksum = raw.Checksum ?? '';
  if (typeof checksum !== 'string' || (algorithm !== 'NONE' && !/^[0-9a-f]+$/i.test(checksum)))
    throw bad(`${path} has no checksum.`);
  return { path, size, algorithm, checksum: checksum.toLowerCase() };
}

/**
 * Parses `backup_manifest` and verifies its own SHA-256.
 * @throws contentMismatch, unsafePath
 */
export function parseBackupManifest(bytes: Uint8Array): BackupManifest {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // The checksum covers everything up to the line that holds it, which is the last.
  const end = buffer.lastIndexOf('\n', buffer.length - 2);
  const last = /^"Manifest-Checksum": "([0-9a-f]{64})"\}\n?$/.exec(buffer.toString('latin1', end + 1));
  if (end < 0 || !last) throw bad('it is cut off: the checksum line is missing.');
  const actual = createHash('sha256')
    .update(buffer.subarray(0, end + 1))
    .digest('hex');
  if (actual !== last[1]) throw bad(`its checksum is ${actual}, it says ${last[1]}.`);
  const text = buffer.toString('utf8');
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw bad('it is not JSON.', error);
  }
  const version = json['PostgreSQL-Backup-Manifest-Version'];
  if (version !== 1 && version !== 2) throw bad(`its version ${String(version)} is not known.`);
  if (!Array.isArray(json['Files']) || !Array.isArray(json['WAL-Ranges'])) throw bad('it lists no files or no WAL.');
  const files = new Map<string, ManifestFile>();
  for (const raw of json['Files'] as RawFile[]) {
    const file = parseFile(raw);
    if (files.has(file.path)) throw bad(`it lists ${file.path} twice.`);
    files.set(file.path, file);
  }
  const walRanges = (json['WAL-Ranges'] as Record<string, unknown>[]).map((raw) => ({
    timeline: Number(raw['Timeline']),
    startLsn: String(raw['Start-LSN']),
    endLsn: String(raw['End-LSN']),
  }));
  // As text: the identifier has more digits than a JSON number of JavaScript keeps.
  const systemId = /^"System-Identifier": (\d+),$/m.exec(buffer.toString('latin1', 0, 4096))?.[1];
  return { version, systemId, files, walRanges };
}
