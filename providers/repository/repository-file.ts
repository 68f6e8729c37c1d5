import { randomUUID } from 'node:crypto';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { idFromUuid } from '../../domain/ids.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { getOr, putConfirmed } from './backup-files.ts';
import { repositoryKey } from './layout.ts';

/** The repository format this version writes and the newest it reads. */
export const repositoryFormat = 1;
/** Features of a repository this version understands; an unknown one is refused. */
const knownFeatures: ReadonlySet<string> = new Set();

export interface RepositoryInfo {
  readonly id: string;
  readonly format: number;
  readonly minReader: number;
  readonly features: readonly string[];
}

/**
 * Makes a store a repository, or opens it when it is one already (two at once: one wins, both get the same id).
 * @param options `expectId`: the id it had before, where that is known; then none is made, for a repository that vanished is a disk
 * that is not mounted or a bucket that was emptied
 * @throws repositoryFormat, repositoryUnreachable, repositoryDenied, repositoryFull
 */
export async function initRepository(
  store: ObjectStore,
  options: { readonly expectId?: string } = {},
): Promise<RepositoryInfo> {
  if (options.expectId !== undefined) return openRepository(store, options);
  const existing = await readRepositoryFile(store);
  if (existing !== undefined) return existing;
  const info: RepositoryInfo = { id: idFromUuid(randomUUID()), format: repositoryFormat, minReader: 1, features: [] };
  const body = Buffer.from(`${JSON.stringify(info)}\n`);
  try {
    await store.put(repositoryKey, body, { ifAbsent: true });
    // What is kept of it wrongly now would stand in everybody's way for ever; nobody else has it yet.
    const held = await store.get(repositoryKey).catch(() => undefined);
    if (held?.equals(body) === false && !isRepositoryFile(held)) await putConfirmed(store, repositoryKey, body);
  } catch (error) {
    if (!isResurgoError(error, 'objectExists')) throw error;
  }
  return openRepository(store);
}

/** @throws repositoryFormat, repositoryUnreachable when there is none (a disk not mounted looks so), repositoryDenied */
export async function openRepository(
  store: ObjectStore,
  options: { readonly expectId?: string } = {},
): Promise<RepositoryInfo> {
  const info = await readRepositoryFile(store);
  if (info !== undefined && options.expectId !== undefined && info.id !== options.expectId) {
    throw new ResurgoError(
      'repositoryUnreachable',
      `Repository ${store.name} is another one than before: its id is ${info.id}, it was ${options.expectId}.`,
      { details: { hint: 'Is the right disk mounted, are bucket and prefix right?' } },
    );
  }
  if (info === undefined) {
    throw new ResurgoError(
      'repositoryUnreachable',
      `There is no repository at ${store.name}: ${repositoryKey} is missing.`,
      {
        details: { hint: 'Is the disk mounted, are bucket and prefix right? The first backup makes a new repository; for one that was replaced on purpose, remove its file under .resurgo/repositories.' },
      },
    );
  }
  return info;
}

async function readRepositoryFile(store: ObjectStore): Promise<RepositoryInfo | undefined> {
  const bytes = await getOr(store, repositoryKey);
  return bytes === undefined ? undefined : parseRepositoryFile(bytes, store.name);
}

function isRepositoryFile(bytes: Buffer): boolean {
  try {
    parseRepositoryFile(bytes, '');
    return true;
  } catch {
    return false;
  }
}

function parseRepositoryFile(bytes: Buffer, name: string): RepositoryInfo {
  const refuse = (why: string): ResurgoError =>
    new ResurgoError('repositoryFormat', `Repository ${name}: ${repositoryKey} ${why}.`);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new ResurgoError(
      'repositoryFormat',
      `Repository ${name}: ${repositoryKey} is not JSON (${String(bytes.length)} bytes).`,
      { cause: error },
    );
  }
  if (typeof value !== 'object' || value === null) throw refuse('is not an object');
  const { id, format, minReader, features } = value as Record<string, unknown>;
  if (typeof id !== 'string' || !/^[a-z0-9]{1,64}$/.test(id)) throw refuse('has no valid id');
  if (typeof format !== 'number' || typeof minReader !== 'number') throw refuse('has no format');
  if (!Array.isArray(features) || !features.every((f): f is string => typeof f === 'string'))
    throw refuse('has no list of features');
  if (minReader > repositoryFormat)
    throw refuse(
      `asks for a reader of format ${String(minReader)}; this version reads up to ${String(repositoryFormat)}`,
    );
  const unknown = features.filter((f) => !knownFeatures.has(f));
  if (unknown.length > 0) throw refuse(`uses features this version does not know: ${unknown.join(', ')}`);
  return { id, format, minReader, features };
}
