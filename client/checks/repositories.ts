import { randomUUID } from 'node:crypto';
import { existsSync, rmdirSync } from 'node:fs';
import { repositoryOf } from '../../config/lookup.ts';
import { resolveRepository } from '../../config/resolve.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { idFromUuid } from '../../domain/ids.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { openRepository } from '../../providers/repository/catalogue.ts';
import { openStore } from '../../providers/repository/open-store.ts';
import { formatBytes, formatDuration } from '../../config/units.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

export interface CheckedRepository {
  readonly findings: readonly Finding[];
  /** Where the store can tell. */
  readonly freeBytes: number | undefined;
}

/** Opens a repository and tries what a backup needs of it with an object of its own, which goes again. */
export async function checkRepository({ loaded, signal }: CheckScope, name: string): Promise<CheckedRepository> {
  const findings = new Findings('repository', name);
  const repository = repositoryOf(loaded.config, name);
  const madeHere = repository.type === 'disk' && !existsSync(repository.path) ? repository.path : undefined;
  let freeBytes: number | undefined;
  let store: ObjectStore | undefined;
  try {
    store = await openStore(name, resolveRepository(loaded, name));
    const known = await isRepository(store);
    if (repository.type === 's3' && !(await checkLock(store, repository.objectLock, signal, findings))) return { findings: findings.list, freeBytes };
    const ms = await probe(store, signal, findings);
    freeBytes = await store.freeBytes();
    const free = freeBytes === undefined ? '' : `; ${formatBytes(freeBytes)} free`;
    findings.ok(
      `written, read, listed and deleted in ${formatDuration(ms)}${free}${known ? '' : '; still empty, the first backup makes it a repository'}`,
    );
  } catch (error) {
    findings.error(error);
  } finally {
    await store?.close();
    // What was not there before is not left behind; a directory that has something in it stays.
    if (madeHere !== undefined) removeEmpty(madeHere);
  }
  return { findings: findings.list, freeBytes };
}

/** @throws repositoryFormat when it is one this version does not know, repositoryDenied … */
async function isRepository(store: ObjectStore): Promise<boolean> {
  if ((await store.head('repository.json')) === undefined) return false;
  await openRepository(store);
  return true;
}

/** Milliseconds it took. */
async function probe(store: ObjectStore, signal: AbortSignal, findings: Findings): Promise<number> {
  const prefix = `runs/.check-${idFromUuid(randomUUID())}/`;
  const key = `${prefix}probe`;
  const body = Buffer.from(`resurgo check ${randomUUID()}\n`);
  const started = performance.now();
  try {
    await store.put(key, body, { ifAbsent: true, signal });
    if (!(await store.get(key, { signal })).equals(body)) {
      findings.fail(
        'what was written came back different',
        'Do not trust this store; look at its logs.',
        'repositoryLost',
      );
    }
    const listed: string[] = [];
    for await (const object of store.list(prefix, signal)) listed.push(object.key);
    if (!listed.includes(key))
      findings.fail(
        'what was written does not appear in a listing',
        'The store must list what it holds at once.',
        'repositoryLost',
      );
    try {
      await store.put(key, body, { ifAbsent: true, signal });
      findings.warn(
        'it ignores conditional writes (If-None-Match), by which two writers notice each other',
        'Use one worker for it, or a store that supports conditional writes.',
      );
    } catch (error) {
      if (!isResurgoError(error, 'objectExists')) throw error;
    }
  } finally {
    // Also after an interruption: nothing is left behind.
    await store.delete([key]).catch((error: unknown) => findings.error(error));
  }
  if ((await store.head(key)) !== undefined)
    findings.fail(
      'what was deleted is still there',
      'Look at its permissions and its Object Lock.',
      'repositoryDenied',
    );
  return performance.now() - started;
}

/** A lock that is asked for and that the bucket does not do would be found out by the first backup. */
async function checkLock(store: ObjectStore, wanted: { readonly mode: string; readonly days: number } | undefined, signal: AbortSignal, findings: Findings): Promise<boolean> {
  const found = await store.objectLock?.(signal);
  if (wanted !== undefined && found?.enabled === false) {
    findings.fail('objectLock is configured, and the bucket has no Object Lock', 'Make a bucket with Object Lock (it cannot be switched on everywhere later), or remove objectLock.', 'configInvalid');
    return false;
  }
  if (wanted !== undefined) findings.ok(`objects are locked for ${String(wanted.days)} days (${wanted.mode})${found === undefined ? '; the bucket does not tell whether it does so' : ''}: retention removes nothing earlier`);
  else if (found?.byDefault !== undefined) findings.note(`the bucket itself locks objects (${found.byDefault}), without objectLock in the configuration`, 'Set objectLock too: what retention removes then frees its space when the lock has ended.');
  return true;
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Something is in it, or it was never made.
  }
}
