import { createHash } from 'node:crypto';
import type { PartRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { partName } from '../repository/layout.ts';

/** SHA-256 as hex. */
export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The object `SHA256SUMS`: `sha256sum -c` format over all parts in order, then `index`. */
export function sha256Sums(
  attempt: string,
  parts: readonly Pick<PartRecord, 'n' | 'sha256'>[],
  indexSha256: string,
): Buffer {
  const lines = parts.map((part) => `${part.sha256}  parts/${partName(attempt, part.n)}\n`);
  return Buffer.from(`${lines.join('')}${indexSha256}  index\n`);
}

export interface SumsEntry {
  /** Path below the backup's directory: `parts/<attempt>-<nnnnnn>` or `index`. */
  readonly path: string;
  readonly sha256: string;
}

/**
 * @throws manifestInvalid when a line is not what {@link sha256Sums} writes
 */
export function parseSha256Sums(bytes: Uint8Array, what = 'SHA256SUMS'): SumsEntry[] {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').split('\n');
  if (lines.pop() !== '') throw new ResurgoError('manifestInvalid', `${what}: the last line is cut off`);
  const seen = new Set<string>();
  return lines.map((line, index) => {
    const match = /^([0-9a-f]{64}) {2}(index|parts\/[A-Za-z0-9][A-Za-z0-9._-]*-\d{6,})$/.exec(line);
    const [, sha256, path] = match ?? [];
    if (sha256 === undefined || path === undefined || seen.has(path))
      throw new ResurgoError(
        'manifestInvalid',
        `${what}: line ${String(index + 1)} is not a checksum line of this format, or a name comes twice`,
      );
    seen.add(path);
    return { path, sha256 };
  });
}
