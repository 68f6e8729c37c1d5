import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from './bounded.ts';
import { runRecordKey, runsPrefix, startOfRun } from './layout.ts';
import { compareKeys } from './safe-key.ts';

/** What became of a run that did not end well; kept apart from the backups. */
export interface RunRecord {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly operation: string;
  readonly kind?: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly startedBy?: string;
  readonly error: { readonly code: string; readonly message: string };
}

/** Idempotent: one record per run. */
export async function writeRunRecord(store: ObjectStore, record: RunRecord): Promise<void> {
  await store.put(runRecordKey(record.target, record.startedAt, record.id), Buffer.from(`${JSON.stringify(record)}\n`));
}

/** Records older than this say nothing any more: success rates and histories look back much less. */
const keptMs = 400 * 24 * 3600_000;
/** Of each target, whatever their age: a target that fails every minute must not fill a repository with its complaints. */
const keptRecords = 1000;
/** What is no record may still be written by somebody. */
const garbageMs = 24 * 3600_000;

/**
 * Removes records that are too old or too many, and what is no record at all. The name tells the age, so nothing is read.
 * @returns how many went
 */
export async function trimRunRecords(
  store: ObjectStore,
  target: string,
  now: number,
  limits: { readonly keptMs?: number; readonly keptRecords?: number } = {},
): Promise<number> {
  const prefix = runsPrefix(target);
  const records: string[] = [];
  const gone: string[] = [];
  for await (const { key, modifiedAt } of store.list(prefix)) {
    const startedAt = startOfRun(key.slice(prefix.length));
    if (startedAt !== undefined && Date.parse(startedAt) >= now - (limits.keptMs ?? keptMs)) records.push(key);
    else if (startedAt !== undefined || Date.parse(modifiedAt) < now - garbageMs) gone.push(key);
  }
  // Oldest come first in the listing.
  gone.push(...records.slice(0, Math.max(0, records.length - (limits.keptRecords ?? keptRecords))));
  if (gone.length > 0) await store.delete(gone);
  return gone.length;
}

/** Newest first; files that are no records are passed over. */
export async function listRunRecords(
  store: ObjectStore,
  target: string,
  limit = 100,
  signal?: AbortSignal,
): Promise<RunRecord[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(runsPrefix(target), signal)) {
    if (!key.endsWith('.json')) continue;
    keys.push(key);
    // Oldest come first in the listing.
    if (keys.length > limit) keys.shift();
  }
  const records = await mapBounded(
    keys.sort((a, b) => compareKeys(b, a)),
    8,
    async (key) => read(store, key),
  );
  return records.flatMap((record) => record ?? []);
}

async function read(store: ObjectStore, key: string): Promise<RunRecord | undefined> {
  try {
    const value: unknown = JSON.parse((await store.get(key)).toString('utf8'));
    return isRunRecord(value) ? value : undefined;
  } catch (error) {
    if (error instanceof ResurgoError && !isResurgoError(error, 'objectMissing')) throw error;
    return undefined;
  }
}

function isRunRecord(value: unknown): value is RunRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { id, target, startedAt, error } = value as Record<string, unknown>;
  return (
    typeof id === 'string' &&
    typeof target === 'string' &&
    typeof startedAt === 'string' &&
    typeof error === 'object' &&
    error !== null
  );
}
