import type { BackupRef } from '../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { keysOf, keysPrefix } from '../providers/repository/layout.ts';
import { openIndex, parseManifest, parseSha256Sums, sha256Hex } from '../providers/vault/publish.ts';
import { keysOfRun, type RunFile } from './run-file.ts';

/** An object of a finished dump as it has to be in every repository. */
export interface WantedObject {
  readonly key: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/**
 * The first copy that is what it should be: a damaged one is passed over.
 * @throws partCorrupt when copies were found and none is good; repositoryLost when no source holds what was acknowledged; what the first source failed with
 */
export async function getGood(sources: readonly ObjectStore[], { key, sha256 }: Pick<WantedObject, 'key' | 'sha256'>, signal: AbortSignal): Promise<Buffer> {
  let problem: ResurgoError | undefined;
  const lacking: string[] = [];
  for (const source of sources) {
    try {
      const body = await source.get(key, { signal });
      const found = sha256Hex(body);
      if (found === sha256) return body;
      throw new ResurgoError('partCorrupt', `${key} in ${source.name} is damaged: its SHA-256 is ${found}, it should be ${sha256}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!isResurgoError(error)) throw error;
      if (error.code === 'objectMissing') lacking.push(source.name);
      // "Damaged" says more than "not there".
      if (problem === undefined || isResurgoError(error, 'partCorrupt')) problem = error;
    }
  }
  if (problem === undefined) throw new ResurgoError('partMissing', `there is no other copy of ${key}`);
  // The dump has ended: somebody said that it was stored.
  if (lacking.length === sources.length) throw new ResurgoError('repositoryLost', `${key} was acknowledged, and is not in ${lacking.join(', ')}`, { cause: problem });
  throw problem;
}

/**
 * Every object of a finished dump but the manifest. What is in it is told by the signed manifest of the run file alone; where it is read from need
 * not be trusted. @throws partCorrupt, objectMissing when no source has index and checksums
 */
export async function wantedObjects(run: RunFile & { readonly manifest: string }, ref: BackupRef, sources: readonly ObjectStore[], signal: AbortSignal): Promise<WantedObject[]> {
  const { attempt, digests } = parseManifest(Buffer.from(run.manifest, 'utf8'), { ref });
  const objects = keysOf(ref);
  const sums = await getGood(sources, { key: objects.sums, sha256: digests.sha256sums }, signal);
  const index = await getGood(sources, { key: objects.index, sha256: digests.index }, signal);
  const sizes = new Map(openIndex(index, keysOfRun(run).metadataKey, ref.id, attempt).parts.map((part) => [objects.part(attempt, part.n), part.storedBytes]));
  const parts = parseSha256Sums(sums, objects.sums).flatMap(({ path, sha256 }) => {
    const key = `${objects.prefix}${path}`;
    return path === 'index' ? [] : [{ key, sha256, bytes: sizes.get(key) ?? 0 }];
  });
  const keyFiles = await Promise.all(
    Object.entries(run.keyFiles ?? {}).map(async ([name, sha256]) => {
      const key = `${keysPrefix(ref.id)}${name}`;
      return { key, sha256, bytes: (await getGood(sources, { key, sha256 }, signal)).length };
    }),
  );
  return [...parts, { key: objects.index, bytes: index.length, sha256: digests.index }, { key: objects.sums, bytes: sums.length, sha256: digests.sha256sums }, ...keyFiles];
}
