import { createHash } from 'node:crypto';
import type { BackupRef } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from './bounded.ts';
import { getOr, readManifestBytes } from './backup-files.ts';
import { parseSums, readTwice } from './copy-backup.ts';
import { keysOf, keysPrefix } from './layout.ts';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/**
 * Makes a damaged copy whole again: every object whose content is not what SHA256SUMS of the other copy says is replaced by the other copy's,
 * itself checked on its way; so are manifest, sums, index and missing keys. What is right is not written. Whoever calls it verifies afterwards.
 * @returns bytes written
 * @throws partMissing, partCorrupt when the other copy is damaged too
 */
export async function healBackup(
  from: ObjectStore,
  to: ObjectStore,
  ref: Pick<BackupRef, 'target' | 'systemId' | 'name' | 'id'>,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (bytes: number) => void } = {},
): Promise<number> {
  const { signal } = options;
  const reading = signal === undefined ? {} : { signal };
  const keys = keysOf(ref);
  const manifest = await readManifestBytes(from, ref, signal);
  const sums = await from.get(keys.sums, reading);
  const expected = (JSON.parse(manifest.toString('utf8')) as { digests?: { sha256sums?: unknown } }).digests?.sha256sums;
  if (sha256(sums) !== expected) throw new ResurgoError('partCorrupt', `${keys.sums} in repository ${from.name} is not what its manifest says; nothing was healed from it.`);
  let written = 0;
  const replace = async (key: string, body: Buffer): Promise<void> => {
    await to.put(key, body, reading);
    written += body.length;
  };
  await mapBounded(parseSums(sums, keys.prefix), 4, async ([key, digest]) => {
    const held = await getOr(to, key, signal);
    if (held === undefined || sha256(held) !== digest) {
      const body = await from.get(key, reading);
      if (sha256(body) !== digest) throw new ResurgoError('partCorrupt', `${key} in repository ${from.name} is damaged too.`);
      await replace(key, body);
    }
    options.onProgress?.(held?.length ?? 0);
  });
  // Keys are opened by whoever restores, so which file is right cannot be told here; one copied from a whole copy is.
  for await (const { key } of from.list(keysPrefix(ref.id), signal)) {
    const body = await readTwice(from, key, signal);
    if (!(await getOr(to, key, signal))?.equals(body)) await replace(key, body);
  }
  for (const [key, body] of [[keys.sums, sums], [keys.manifest, manifest]] as const) if (!(await getOr(to, key, signal))?.equals(body)) await replace(key, body);
  return written;
}
