/** The end of a backup run, good or bad: nothing of it is left but backups and records. */
import type { BackupKind } from '../domain/backup.ts';
import type { DumpedBackup, PreparedBackup, RepositoryOutcome } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { repositoriesFor } from '../config/lookup.ts';
import { deleteBackup, trimRunRecords, writeRunRecord } from '../providers/repository/catalogue.ts';
import { keysOf, keysPrefix, runsPrefix } from '../providers/repository/layout.ts';
import { refOf } from './backup-dump.ts';
import { pingBackup } from './deadman.ts';
import type { ActivityDeps } from './deps.ts';
import { engineDefinition } from './engines/index.ts';
import { deleteRunFile, readRunFile } from './run-file.ts';
import { recordRun } from './run-log.ts';
import { removeStaging } from './staging.ts';
import { targetSettings } from './target-settings.ts';

/** Effect: run file and spool are gone; unfinished copies in repositories that failed are swept where they can be reached. */
export async function finishBackup(deps: ActivityDeps, { prepared, dumped, outcomes }: { prepared: PreparedBackup; dumped: DumpedBackup; outcomes: readonly RepositoryOutcome[] }): Promise<void> {
  for (const { name, status } of outcomes) {
    // What cannot be reached now is swept by the next run that reaches it.
    const store = await deps.stores.open(name).catch(() => undefined);
    if (store === undefined) continue;
    if (status === 'failed') await removeUnpublished(store, prepared).catch(() => false);
    else await sweepUnfinished(store, prepared).catch(() => undefined);
  }
  await removeStaging(deps, prepared.target, prepared.backup);
  await deleteRunFile(deps.loaded.stateDir, prepared.backup);
  if (prepared.engine === 'archive') return;
  const { backup: id, target, kind, asked, startedAt, startedBy } = prepared;
  const stored = outcomes.filter(({ status }) => status === 'verified').map(({ name }) => name);
  await pingBackup(deps.loaded, target, stored.length > 0 ? 'success' : 'fail', `${kind} backup ${id} of ${target}: verified in ${stored.join(', ')}`, id);
  await recordRun(deps, { target, operation: 'backup', run: { id, kind: asked ?? kind, at: startedAt, ms: msBetween(startedAt, dumped.endedAt), ok: stored.length > 0, scheduled: startedBy === 'schedule' } });
}

const msBetween = (from: string, to: string): number => Math.max(0, Date.parse(to) - Date.parse(from));

export interface AbandonInput {
  readonly id: string;
  readonly target: string;
  readonly kind: string;
  readonly startedAt: string;
  readonly startedBy: string;
  readonly prepared: PreparedBackup | null;
  readonly dumped: DumpedBackup | null;
  readonly error: { readonly code: string; readonly message: string };
}

/**
 * After a failed or cancelled run. Effect: its unpublished objects, run file and spool are gone; a run record says what happened.
 * @returns repositories where the backup had been published before: there it is good, and stays
 */
export async function abandonBackup(deps: ActivityDeps, input: AbandonInput): Promise<{ published: string[] }> {
  const { prepared } = input;
  const stateDir = deps.loaded.stateDir;
  // The run file first: a zombie of the dump finds itself fenced and stops putting parts.
  if ((await readRunFile(stateDir, input.id)) !== undefined) await deleteRunFile(stateDir, input.id);
  await removeStaging(deps, input.target, input.id);
  const stores: ObjectStore[] = [];
  for (const name of prepared?.repositories ?? repositoriesFor(deps.loaded.config, input.target)) await deps.stores.open(name).then((store) => stores.push(store), () => undefined);
  const published: string[] = [];
  let certain = stores.length === (prepared?.repositories.length ?? -1);
  if (prepared !== null) {
    for (const store of stores) await removeUnpublished(store, prepared).then((there) => (there ? published.push(store.name) : undefined), () => { certain = false; });
  }
  // What the engine left elsewhere (an RDS snapshot) is nobody's without an entry; a repository that does not answer may hold one.
  if (prepared !== null && published.length === 0 && certain && prepared.engine !== 'archive') {
    await engineDefinition(prepared.engine).removed?.(targetSettings(deps, input.target), input.id).catch(() => undefined);
  }
  const message = published.length === 0 ? input.error.message : `${input.error.message} (it had been published in ${published.join(', ')} before, and stays there)`;
  const record = {
    schemaVersion: 1 as const, operation: 'backup', id: input.id, target: input.target, kind: input.kind, startedAt: input.startedAt, endedAt: new Date().toISOString(), startedBy: input.startedBy, status: 'failed', error: { ...input.error, message },
  };
  for (const store of stores) {
    await writeRunRecord(store, record).catch(() => undefined);
    await trimRunRecords(store, input.target, Date.now()).catch(() => undefined);
  }
  if (prepared?.engine !== 'archive') {
    await pingBackup(deps.loaded, input.target, 'fail', `${input.kind} backup ${input.id} of ${input.target}: ${input.error.code}: ${message}`, input.id);
    // Published before it failed, it is a backup.
    await recordRun(deps, { target: input.target, operation: 'backup', run: { id: input.id, kind: input.kind as BackupKind, at: input.startedAt, ms: msBetween(input.startedAt, record.endedAt), ok: published.length > 0, scheduled: input.startedBy === 'schedule' } });
  }
  return { published };
}

/** @returns whether it is published here, and was left alone */
async function removeUnpublished(store: ObjectStore, plan: PreparedBackup): Promise<boolean> {
  const ref = refOf(plan);
  const published = (await store.head(keysOf(ref).manifest)) !== undefined;
  if (!published) await deleteBackup(store, ref);
  await sweepUnfinished(store, plan);
  return published;
}

/** What killed attempts left half-written. We hold the target's lock: nobody else writes there, but for a verification, which would write again. */
async function sweepUnfinished(store: ObjectStore, { target, backup }: PreparedBackup): Promise<void> {
  for (const prefix of [`${target}/`, runsPrefix(target), keysPrefix(backup)]) await store.sweepTemporary?.(0, undefined, prefix);
}
