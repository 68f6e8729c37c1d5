/** The steps of an archive run (B14). What is stored, read back and published is done by the same steps as a backup's. */
import { z } from 'zod';
import { type ArchiveInput, type ArchiveProblem, type ArchiveStep, type ArchiveTable, type DeletedMark } from '../domain/archive.ts';
import type { DumpedBackup, PreparedBackup } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { namePattern } from '../domain/ids.ts';
import { deleteRows } from '../providers/archive/delete-rows.ts';
import { countDue, planTables, type PlannedTables } from '../providers/archive/plan-tables.ts';
import { sessionsOf } from '../providers/postgres/own-sessions.ts';
import { deleteBackup, listBackups } from '../providers/repository/catalogue.ts';
import { backupName, keysOf } from '../providers/repository/layout.ts';
import { claimEpoch } from '../providers/repository/writer-epoch.ts';
import { parseInput } from './announce.activities.ts';
import { listSets, openSet, readDeleted, readDeleting, resolveSet, withdrawSet, writeDeleted, writeDeleting } from './archive/sets.ts';
import { archiveDefinitions, archiveSettings, archiveSource } from './archive/settings.ts';
import { refOf } from './backup-dump.ts';
import { assertEpoch } from './backup-store.ts';
import type { ActivityDeps } from './deps.ts';
import { withPulse } from './heartbeat.ts';
import { deleteRunFile, readRunFile } from './run-file.ts';
import { removeStaging } from './staging.ts';

const archiveInput = z.strictObject({
  schemaVersion: z.literal(1).optional(),
  target: z.string().regex(namePattern, 'is not a target name'),
  before: z.string().min(4).max(40).refine((text) => /^\d{4}-\d\d-\d\d/.test(text) && !Number.isNaN(Date.parse(text)), 'is not a date (2026-08-01) or time').optional(),
  preview: z.boolean().optional(),
  onBusy: z.enum(['wait', 'skip', 'refuse']).optional(),
  startedBy: z.string().max(200).optional(),
});

export interface PrepareArchiveInput {
  /** Of the set. */
  readonly id: string;
  readonly target: string;
  readonly step: ArchiveStep;
  readonly startedAt: string;
  readonly startedBy: string;
}

export interface SetDeletion {
  readonly deleted: number;
  readonly kept: number;
  readonly freedBytes: number;
  readonly uncertain?: true;
}

const summary = (mark: DeletedMark): SetDeletion => ({
  deleted: mark.deleted, freedBytes: mark.freedBytes, kept: mark.kept.reduce((sum, [first, last]) => sum + last - first + 1, 0),
  ...(mark.uncertain === true ? { uncertain: true as const } : {}),
});

const problemOf = (of: ArchiveProblem['of'], name: string, error: unknown): ArchiveProblem => ({
  of, name, code: isResurgoError(error) ? error.code : 'bug', message: error instanceof Error ? error.message : String(error),
});

export function archiveActivities(deps: ActivityDeps) {
  /** All of them: a row is deleted only when every one holds it. @throws what the first that does not answer fails with */
  const openAll = (names: readonly string[]): Promise<ObjectStore[]> => Promise.all(names.map((name) => deps.stores.open(name, { create: true })));

  return {
    /** Effect: none. */
    async announceArchive(input: ArchiveInput): Promise<{ input: ArchiveInput & { readonly onBusy: 'wait' | 'skip' | 'refuse'; readonly startedBy: string }; afterMs: number; keepMs: number; batch: number; repositories: string[]; host: string | null; searchAttributes: boolean }> {
      const checked = parseInput(archiveInput, input, 'archive') as ArchiveInput;
      const { rule, repositories, host } = archiveSettings(deps, checked.target);
      return {
        input: { ...checked, onBusy: checked.onBusy ?? 'wait', startedBy: checked.startedBy ?? 'temporal' },
        afterMs: rule.after, keepMs: rule.keep, batch: rule.batch, repositories: [...repositories], host: host ?? null, searchAttributes: deps.searchAttributes,
      };
    },

    /** The tables in the order they are archived, and what is wrong with the others. Effect: none. */
    async planArchive({ target, cutoff }: { readonly target: string; readonly cutoff: string }): Promise<PlannedTables> {
      const settings = archiveSettings(deps, target);
      const { connection } = await archiveSource(settings, 'resurgo archive');
      return planTables(connection, archiveDefinitions(settings), cutoff);
    },

    /** Rows that would be moved now. Effect: none. Heartbeat: while it counts. */
    countArchive: ({ target, table, cutoff }: { readonly target: string; readonly table: ArchiveTable; readonly cutoff: string }): Promise<number> =>
      withPulse(async ({ signal, report }) => {
        report({ phase: `count the due rows of ${table.schema}.${table.name}` });
        const { connection } = await archiveSource(archiveSettings(deps, target), 'resurgo archive');
        return countDue(connection, table, cutoff, signal);
      }, deps),

    /**
     * Ends what earlier runs left: a set whose rows are known to be deleted is finished, one whose rows are not is withdrawn, so that no row is archived twice.
     * Effect: as said. Idempotency: finds nothing the second time. Caller: holds the target's lock; zombies are fenced by a new claim.
     */
    settleArchive: ({ target, run }: { readonly target: string; readonly run: string }): Promise<{ finished: number; withdrawn: number; errors: ArchiveProblem[] }> =>
      withPulse(async ({ signal, report }) => {
        const settings = archiveSettings(deps, target);
        const stores = await openAll(settings.repositories);
        // The claim first, then the look: whoever passed its own check of the claim before this has left its mark by now.
        for (const store of stores) await claimEpoch(store, settings.name, run);
        const errors: ArchiveProblem[] = [];
        let finished = 0;
        let withdrawn = 0;
        for (const { ref, copies } of await listSets(stores, settings.name)) {
          const holders = copies.map(({ store }) => store);
          // Finished everywhere: the usual case, told by names alone.
          if (copies.every(({ listed }) => listed.state.includes('deleted-rows'))) continue;
          report({ phase: `look at ${ref.name}` });
          try {
            const found = await resolveSet(deps, settings, holders, ref, signal);
            if (found.state === 'deleted') {
              finished++;
              if (found.mark.uncertain === true) errors.push({ of: 'archive', name: ref.id, code: 'outcomeUnknown', message: `${ref.name}: a run died while it deleted its ${String(found.mark.deleted)} rows, and the server no longer tells how that ended; they are kept in the archive and may be live too` });
            } else {
              await withdrawSet(holders, ref);
              withdrawn++;
            }
          } catch (error) {
            signal.throwIfAborted();
            if (!isResurgoError(error) || error.definition.retryable) throw error;
            errors.push(problemOf('archive', ref.id, error));
          }
        }
        return { finished, withdrawn, errors };
      }, deps),

    /** A set to be made. Effect: claims the archive in its repositories, sweeps what dead runs left unpublished. @throws repositoryUnreachable (any of them) */
    async prepareArchive(input: PrepareArchiveInput): Promise<PreparedBackup> {
      const settings = archiveSettings(deps, input.target);
      const { facts } = await archiveSource(settings, 'resurgo archive');
      const stores = await openAll(settings.repositories);
      const epochs: Record<string, string> = {};
      for (const store of stores) {
        epochs[store.name] = await claimEpoch(store, settings.name, input.id);
        for (const ref of await listBackups(store, settings.name)) if (!ref.published && ref.id !== input.id && ref.state.length === 0) await deleteBackup(store, ref);
      }
      const primary = stores.find((store) => store.kind === 'disk')?.name ?? 'spool';
      return {
        backup: input.id, target: settings.name, systemId: facts.systemId, name: backupName({ startedAt: input.startedAt, kind: 'full', id: input.id }), kind: 'full', engine: 'archive',
        parent: null, chain: [], startedAt: input.startedAt, startedBy: input.startedBy,
        repositories: primary === 'spool' ? [...settings.repositories] : [primary, ...settings.repositories.filter((name) => name !== primary)],
        primary, configHash: settings.hash, epochs, warnings: [], verify: 'content', archive: input.step,
      };
    },

    /**
     * Deletes exactly the rows of a set that every repository holds and that was read back there. Effect: one transaction; marks beside the set in every repository,
     * before its commit and after. Idempotency: what a dead attempt did is found out first. Heartbeat: rows.
     * @throws fenced when another run took over, repositoryUnreachable (nothing was deleted then)
     */
    deleteArchived: ({ prepared }: { readonly prepared: PreparedBackup; readonly dumped: DumpedBackup }): Promise<SetDeletion> =>
      withPulse(async ({ signal, report }) => {
        const settings = archiveSettings(deps, prepared.target, prepared.configHash);
        const ref = refOf(prepared);
        const stores = await openAll(prepared.repositories);
        const earlier = await resolveSet(deps, settings, stores, ref, signal);
        if (earlier.state === 'deleted') return summary(earlier.mark);
        const { table, keys } = await openSet(deps, stores, ref);
        const { connection } = await archiveSource(settings, sessionsOf(ref.id));
        const undecided = async (): Promise<void> => {
          if ((await readDeleted(stores, ref)) !== undefined || (await readDeleting(stores, ref)) !== undefined) throw new ResurgoError('toolFailed', `another attempt deletes the rows of ${ref.name}`);
        };
        const mark = await deleteRows({
          connection, set: ref.id, table, keys, signal, onProgress: report, undecided,
          beforeCommit: async (made) => {
            await writeDeleting(stores, ref, made);
            for (const store of stores) {
              // Whoever withdraws the set claims it first and looks for the mark then: one of us sees the other.
              await assertEpoch(store, prepared);
              if ((await store.head(keysOf(ref).manifest, signal)) === undefined) throw new ResurgoError('fenced', `${ref.name} is no longer in ${store.name}: none of its rows are deleted`);
            }
          },
        });
        const done: DeletedMark = { ...mark, committedAt: new Date().toISOString() };
        await writeDeleted(stores, ref, done);
        return summary(done);
      }, deps),

    /**
     * After a set failed: withdraws it, unless its rows are gone from the table. Effect: as said. Caller: holds the target's lock.
     * @returns what was deleted, where the failure came after the deletion; null when the set is gone and its rows are live
     */
    withdrawArchive: ({ prepared }: { readonly prepared: PreparedBackup }): Promise<SetDeletion | null> =>
      withPulse(async ({ signal, report }) => {
        report({ phase: `look at ${prepared.name}` });
        const settings = archiveSettings(deps, prepared.target);
        const ref = refOf(prepared);
        const stores: ObjectStore[] = [];
        for (const name of prepared.repositories) await deps.stores.open(name).then((store) => stores.push(store), () => undefined);
        const holders: ObjectStore[] = [];
        for (const store of stores) {
          await claimEpoch(store, settings.name, `${prepared.backup} withdrawn`);
          if ((await store.head(keysOf(ref).manifest, signal)) !== undefined) holders.push(store);
        }
        if (holders.length > 0) {
          const found = await resolveSet(deps, settings, holders, ref, signal);
          if (found.state === 'deleted') return summary(found.mark);
        }
        await withdrawSet(stores, ref);
        return null;
      }, deps),

    /** No row was due when the set was read. Effect: run file, spool and what was stored are gone; no record of a failure. */
    async discardArchive({ prepared }: { readonly prepared: PreparedBackup }): Promise<void> {
      if ((await readRunFile(deps.loaded.stateDir, prepared.backup)) !== undefined) await deleteRunFile(deps.loaded.stateDir, prepared.backup);
      await removeStaging(deps, prepared.target, prepared.backup);
      for (const name of prepared.repositories) await deps.stores.open(name).then((store) => deleteBackup(store, refOf(prepared)), () => undefined);
    },

    /** Removes sets that are older than they are kept, one after the other; one that fails stops no other. Effect: as said. Idempotency: gone is gone. */
    expireArchives: ({ target, before }: { readonly target: string; readonly before: string }): Promise<{ expired: string[]; errors: ArchiveProblem[] }> =>
      withPulse(async ({ signal, report }) => {
        const settings = archiveSettings(deps, target);
        const errors: ArchiveProblem[] = [];
        const stores: ObjectStore[] = [];
        for (const name of settings.repositories) await deps.stores.open(name).then((store) => stores.push(store), (error: unknown) => errors.push(problemOf('repository', name, error)));
        const expired: string[] = [];
        const listed: Awaited<ReturnType<typeof listSets>> = [];
        for (const store of stores) await listSets([store], settings.name).then((sets) => listed.push(...sets), (error: unknown) => errors.push(problemOf('repository', store.name, error)));
        for (const { ref, copies } of listed) {
          signal.throwIfAborted();
          const [copy] = copies;
          if (copy === undefined || Date.parse(ref.startedAt) >= Date.parse(before) || copy.listed.state.includes('hold')) continue;
          report({ phase: `remove ${ref.name} from ${copy.store.name}` });
          try {
            // Its rows must be known to be here and nowhere else, or known to be live: what is undecided stays for a person or the next run.
            if (!copy.listed.state.includes('deleted-rows')) throw new ResurgoError('outcomeUnknown', `${ref.name} was never finished; the next run looks at it again`);
            await deleteBackup(copy.store, ref);
            if (!expired.includes(ref.id)) expired.push(ref.id);
          } catch (error) {
            errors.push(problemOf('archive', ref.id, error));
          }
        }
        return { expired, errors };
      }, deps),
  };
}

