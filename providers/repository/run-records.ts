import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { mapBounded } from './bounded.ts';
import { runRecordKey, runsPrefix } from './layout.ts';
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
