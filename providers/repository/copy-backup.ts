import { createHash } from 'node:crypto';
import type { BackupRef } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from './bounded.ts';
import { keysOf, keysPrefix } from './layout.ts';
import { getOr, putConfirmed, readManifestBytes, removeState } from './backup-files.ts';

export interface CopyOptions {
  readonly signal?: AbortSignal;
  /** Objects on their way at once, each whole in memory. Default 4. */
  readonly concurrency?: number;
  /** Called with the bytes of each object that is done, sent or found. */
  readonly onProgress?: (bytes: number, sent: boolean) => void;
}

export interface CopyResult {
  readonly sentObjects: number;
  readonly sentBytes: number;
  readonly skippedObjects: number;
}

/**
 * Brings a published backup to a repository that lacks it: parts and index (each checked against SHA256SUMS on its way), keys, sums, and the
 * manifest last. What is there with the same size is not sent again. State is not copied: the copy earns its own. While it is under way the
 * fact `copying` hides it and keeps sweeps away from it; what retention had put aside here is a backup again.
 * @throws backupUnknown, partMissing, partCorrupt (in `from`), objectExists when `to` holds another manifest
 */
export async function copyBackup(
  from: ObjectStore,
  to: ObjectStore,
  ref: Pick<BackupRef, 'target' | 'systemId' | 'name' | 'id'>,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const keys = keysOf(ref);
  const reading = options.signal === undefined ? {} : { signal: options.signal };
  const manifest = await readManifestBytes(from, ref, options.signal);
  const sums = await from.get(keys.sums, reading);
  const digests = parseSums(sums, keys.prefix);
  const present = new Map<string, number>();
  for await (const { key, size } of to.list(keys.prefix, options.signal)) present.set(key, size);
  let sentObjects = 0;
  let sentBytes = 0;
  let skippedObjects = 0;

  const copy = async (key: string, size: number, sha256: string | undefined): Promise<void> => {
    if (present.get(key) === size) {
      skippedObjects++;
      options.onProgress?.(size, false);
      return;
    }
    const body = await from.get(key, reading);
    if (sha256 !== undefined && createHash('sha256').update(body).digest('hex') !== sha256) {
      throw new ResurgoError(
        'partCorrupt',
        `${key} in repository ${from.name} is not what SHA256SUMS says; it was not copied to ${to.name}.`,
      );
    }
    await to.put(key, body, { ...reading, ...(sha256 === undefined ? {} : { sha256 }) });
    sentObjects++;
    sentBytes += body.length;
    options.onProgress?.(body.length, true);
  };

  await to.put(keys.state('copying'), Buffer.from(`${JSON.stringify({ at: new Date().toISOString(), from: from.name })}\n`), reading);
  const missing = new Set(digests.keys());
  const sources = (async function* () {
    for await (const info of from.list(keys.prefix, options.signal)) if (missing.delete(info.key)) yield info;
  })();
  await mapBounded(sources, options.concurrency ?? 4, async ({ key, size }) => copy(key, size, digests.get(key)));
  const [lost] = missing;
  if (lost !== undefined)
    throw new ResurgoError(
      'partMissing',
      `${lost}${missing.size > 1 ? ` and ${String(missing.size - 1)} more` : ''} of backup ${ref.name} is not in repository ${from.name}.`,
    );

  const wrapped = keysPrefix(ref.id);
  for await (const { key } of from.list(wrapped, options.signal)) {
    // No list of checksums names them, and without them nothing can be opened: compared whole, and read from the source until it says the same twice.
    const body = await readTwice(from, key, options.signal);
    if ((await getOr(to, key, options.signal))?.equals(body) === true) {
      skippedObjects++;
      continue;
    }
    await putConfirmed(to, key, body, options.signal);
    sentObjects++;
    sentBytes += body.length;
  }
  await putConfirmed(to, keys.sums, sums, options.signal);
  await confirmSizes(to, keys.prefix, [...digests.keys()], options.signal);
  await publish(to, keys.manifest, manifest, options.signal);
  await removeState(to, ref, 'deleted', 'copying');
  return { sentObjects, sentBytes, skippedObjects };
}

/** Never over another manifest. */
async function publish(to: ObjectStore, key: string, manifest: Buffer, signal: AbortSignal | undefined): Promise<void> {
  const held = await getOr(to, key, signal);
  if (held !== undefined && held.length > 0 && !held.equals(manifest)) throw new ResurgoError('objectExists', `${key} in repository ${to.name} is another manifest; it was not replaced.`);
  if (held === undefined || held.length === 0) await putConfirmed(to, key, manifest, signal);
}

/** Whoever calls it reads the content back; here only what was never kept is found out, before it is called a backup. @throws repositoryLost */
async function confirmSizes(to: ObjectStore, prefix: string, wanted: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const held = new Set<string>();
  for await (const { key } of to.list(prefix, signal)) held.add(key);
  const lost = wanted.filter((key) => !held.has(key));
  if (lost.length > 0) throw new ResurgoError('repositoryLost', `repository ${to.name} acknowledged ${lost[0] ?? ''}${lost.length > 1 ? ` and ${String(lost.length - 1)} more` : ''} and does not hold ${lost.length > 1 ? 'them' : 'it'}`);
}

export async function readTwice(store: ObjectStore, key: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const reading = signal === undefined ? {} : { signal };
  let last = await store.get(key, reading);
  for (let attempt = 1; attempt <= 3; attempt++) {
    const again = await store.get(key, reading);
    if (again.equals(last)) return again;
    last = again;
  }
  throw new ResurgoError('partCorrupt', `${key} in repository ${store.name} is read differently each time`);
}

/** `<sha256>  <path>` lines to key → digest; paths are those of the format, nothing else. @throws partCorrupt */
export function parseSums(sums: Buffer, prefix: string): Map<string, string> {
  const digests = new Map<string, string>();
  for (const line of sums.toString('utf8').split('\n')) {
    if (line === '') continue;
    const [, sha256, path] = /^([0-9a-f]{64}) [ *](parts\/[A-Za-z0-9][A-Za-z0-9._-]*|index)$/.exec(line) ?? [];
    if (sha256 === undefined || path === undefined)
      throw new ResurgoError(
        'partCorrupt',
        `${prefix}SHA256SUMS has a line that is none: ${JSON.stringify(line.slice(0, 200))}.`,
      );
    digests.set(prefix + path, sha256);
  }
  return digests;
}
