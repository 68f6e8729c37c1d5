import type { StreamRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupManifest } from './backup-manifest.ts';

/** Where the entries of a tar stream belong, relative to the data directory: `base.tar` → ``, `16400.tar` → `pg_tblspc/16400/`. */
export function streamPrefix(stream: string): string | undefined {
  if (stream === 'base.tar') return '';
  const oid = /^(\d+)\.tar$/.exec(stream)?.[1];
  return oid === undefined ? undefined : `pg_tblspc/${oid}/`;
}

/** What PostgreSQL sends and does not list: WAL, and the manifest itself. */
export const isUnlisted = (path: string): boolean => path.startsWith('pg_wal/') || path === 'backup_manifest';

/**
 * Every file of the manifest passed by in the tar streams once, with its size, and nothing else did; WAL is there.
 * @returns how many files were compared
 * @throws contentMismatch, dumpEmpty
 */
export function checkManifestAgainstStreams(manifest: BackupManifest, streams: readonly StreamRecord[]): number {
  const seen = new Map<string, number>();
  const problems: string[] = [];
  let wal = 0;
  for (const stream of streams) {
    if (stream.kind !== 'tar') continue;
    const prefix = streamPrefix(stream.name);
    if (prefix === undefined)
      throw new ResurgoError('contentMismatch', `The stream ${stream.name} is none of a base backup.`);
    for (const file of stream.files ?? []) {
      if (file.type !== 'file') continue;
      const path = prefix + file.path;
      // Below pg_wal it lists timeline histories and archive status files, which it made up itself, but no segments.
      if (isUnlisted(path) && !manifest.files.has(path)) {
        if (/^pg_wal\/[0-9A-F]{24}$/.test(path)) wal += 1;
        continue;
      }
      if (seen.has(path)) problems.push(`${path} came twice`);
      seen.set(path, file.size);
    }
  }
  if (seen.size === 0 || manifest.files.size === 0)
    throw new ResurgoError('dumpEmpty', 'The base backup holds no file.');
  for (const [path, file] of manifest.files) {
    const size = seen.get(path);
    if (size === undefined) problems.push(`${path} is missing`);
    else if (size !== file.size) problems.push(`${path} has ${size} bytes, the manifest says ${file.size}`);
  }
  for (const path of seen.keys()) if (!manifest.files.has(path)) problems.push(`${path} is not in the manifest`);
  if (wal === 0) problems.push('no WAL segment came with it');
  if (problems.length > 0) {
    const more = problems.length > 5 ? ` and ${problems.length - 5} more` : '';
    throw new ResurgoError(
      'contentMismatch',
      `The base backup is not what its manifest says: ${problems.slice(0, 5).join('; ')}${more}.`,
      { details: { problems: problems.slice(0, 100) } },
    );
  }
  return seen.size;
}
