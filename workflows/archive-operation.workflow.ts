import { CancellationScope, isCancellation, uuid4 } from '@temporalio/workflow';
import type { ArchivedTable, ArchiveProblem, ArchiveResult, ArchiveTable } from '../domain/archive.ts';
import { idFromUuid } from '../domain/ids.ts';
import type { DumpedBackup, PreparedBackup } from '../domain/operations.ts';
import { bulkOnHost, heavyOn, lightOn, onHost } from './activity-profiles.ts';
import { deliverAll } from './backup-operation.workflow.ts';
import { factsOf, failure, rethrow } from './failures.ts';
import { recorded } from './record-run.ts';
import { Checklist, searchAttributes } from './progress.ts';

export interface ArchiveOperationInput {
  readonly id: string;
  readonly target: string;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly cutoff: string;
  readonly expireBefore: string;
  readonly preview: boolean;
  readonly batch: number;
  readonly host: string | null;
  readonly searchAttributes: boolean;
}

/** Sets a run makes at most: its history is bounded. What is left is the next run's. */
const mostSets = 400;

/** Archives under the target's lock (`op/<target>`): end what dead runs left, move rows table by table and set by set, expire old sets. */
export async function archiveOperation(input: ArchiveOperationInput): Promise<ArchiveResult> {
  const checklist = new Checklist(`Archive ${input.target}, rows before ${input.cutoff}`, ['look at the tables', 'finish earlier runs']);
  checklist.enableAttributes(input.searchAttributes);
  checklist.tag([{ key: searchAttributes.target, value: input.target }, { key: searchAttributes.operation, value: 'archive' }]);
  try {
    const result = await recorded({ target: input.target, operation: 'archive', host: input.host, startedBy: input.startedBy }, () => archiveTables(input, checklist), ({ status }) => status === 'archived');
    checklist.tag([{ key: searchAttributes.outcome, value: result.status }]);
    return result;
  } catch (error) {
    checklist.tag([{ key: searchAttributes.outcome, value: 'failed' }]);
    rethrow(error);
  }
}

export const emptyResult = (input: ArchiveOperationInput, status: ArchiveResult['status']): ArchiveResult => {
  const endedAt = new Date().toISOString();
  return {
    schemaVersion: 1, id: input.id, target: input.target, status, cutoff: input.cutoff, startedAt: input.startedAt, endedAt, durationMs: Date.parse(endedAt) - Date.parse(input.startedAt),
    archivedRecords: 0, deletedRecords: 0, keptRecords: 0, freedBytes: 0, expiredArchives: 0, tables: [], errors: [], warnings: [],
  };
};

/** The same without a lock of its own: a preview touches nothing, so it needs none. */
export async function archiveTables(input: ArchiveOperationInput, checklist: Checklist): Promise<ArchiveResult> {
  const { target, cutoff } = input;
  const errors: ArchiveProblem[] = [];
  const warnings: string[] = [];
  const plan = await checklist.run('look at the tables', () => lightOn(input.host, `look at the tables of ${target}`).planArchive({ target, cutoff }), (made) => `${String(made.tables.length)} tables`);
  for (const { table, code, message } of plan.errors) errors.push({ of: 'table', name: table, code, message });
  const tables: ArchivedTable[] = [];
  let expired: string[] = [];
  if (!input.preview) {
    const settled = await checklist.run('finish earlier runs', () => heavyOn(input.host, `finish earlier archive runs of ${target}`).settleArchive({ target, run: input.id }), (found) => (found.finished + found.withdrawn === 0 ? 'nothing to do' : `${String(found.finished)} finished, ${String(found.withdrawn)} withdrawn`));
    errors.push(...settled.errors);
    if (settled.finished > 0) warnings.push(`${String(settled.finished)} archive(s) of earlier runs that died were finished: their rows had been deleted`);
    if (settled.withdrawn > 0) warnings.push(`${String(settled.withdrawn)} archive(s) of earlier runs that died were withdrawn: their rows are live, and are archived again when they are due`);
  }
  const budget = { left: mostSets };
  for (const table of plan.tables) {
    const name = `${table.schema}.${table.name}`;
    const run = new TableRun(name);
    try {
      if (input.preview) {
        const due = await checklist.run(name, () => heavyOn(input.host, `count the due rows of ${name}`).countArchive({ target, table, cutoff }), (n) => `${String(n)} rows are due`);
        run.due = due;
      } else {
        checklist.set(name, 'in progress');
        await archiveTable(input, table, run, budget, checklist);
        checklist.set(name, 'completed', run.shown);
      }
    } catch (error) {
      if (isCancellation(error) || CancellationScope.current().consideredCancelled) throw error;
      const { code, message } = factsOf(error);
      errors.push({ of: 'table', name, code, message });
      checklist.set(name, 'failed', message);
    }
    tables.push(run.result);
    warnings.push(...run.warnings);
  }
  if (budget.left === 0) warnings.push(`this run has made ${String(mostSets)} archives; what is left is moved by the next`);
  if (!input.preview) {
    const done = await checklist.run('expire old archives', () => heavyOn(input.host, `remove archives of ${target} from before ${input.expireBefore}`).expireArchives({ target, before: input.expireBefore }), (found) => `${String(found.expired.length)} removed`);
    expired = done.expired;
    errors.push(...done.errors);
  }
  const sum = (of: (table: ArchivedTable) => number): number => tables.reduce((total, table) => total + of(table), 0);
  return {
    ...emptyResult(input, errors.length > 0 ? 'incomplete' : input.preview ? 'preview' : 'archived'),
    archivedRecords: sum((table) => table.archivedRecords), deletedRecords: sum((table) => table.deletedRecords), keptRecords: sum((table) => table.keptRecords), freedBytes: sum((table) => table.freedBytes),
    expiredArchives: expired.length, tables, errors, warnings,
  };
}

/** What has been done for one table so far: it is told even when a later set fails. */
class TableRun {
  archived = 0;
  deleted = 0;
  kept = 0;
  freedBytes = 0;
  due: number | undefined;
  readonly archives: string[] = [];
  readonly warnings: string[] = [];
  private readonly table: string;

  constructor(table: string) {
    this.table = table;
  }

  get shown(): string {
    return `${String(this.deleted)} rows moved in ${String(this.archives.length)} archive(s)${this.kept === 0 ? '' : `, ${String(this.kept)} stayed`}`;
  }

  get result(): ArchivedTable {
    return {
      table: this.table, archivedRecords: this.archived, deletedRecords: this.deleted, keptRecords: this.kept, freedBytes: this.freedBytes, archives: this.archives,
      ...(this.due === undefined ? {} : { dueRecords: this.due }),
    };
  }
}

/** Set after set, until nothing is due or nothing more can be deleted. */
async function archiveTable(input: ArchiveOperationInput, table: ArchiveTable, run: TableRun, budget: { left: number }, checklist: Checklist): Promise<void> {
  const name = `${table.schema}.${table.name}`;
  while (budget.left > 0) {
    const made = await archiveSet(input, table, checklist);
    if (made === undefined) return;
    budget.left--;
    const { rows, deletion, id } = made;
    run.archived += rows;
    run.deleted += deletion.deleted;
    run.kept += deletion.kept;
    run.freedBytes += deletion.freedBytes;
    run.archives.push(id);
    checklist.set(name, 'in progress', run.shown);
    if (deletion.uncertain === true) throw failure('outcomeUnknown', `archive ${id}: the server no longer tells whether its ${String(deletion.deleted)} rows were deleted; they are kept in the archive and may be live too`);
    if (deletion.kept > 0) run.warnings.push(`${String(deletion.kept)} rows of ${name} changed, were locked or are referred to: they stay, and archive ${id} is not taken to hold them`);
    // Those would be chosen again and again; a short set was the last one.
    if (deletion.deleted === 0 || rows < input.batch || deletion.kept > 0) return;
  }
}

type Deletion = Awaited<ReturnType<ReturnType<typeof heavyOn>['deleteArchived']>>;

/** One set: dump → store, read back, publish in every repository → delete. Undefined when no row is due. */
async function archiveSet(input: ArchiveOperationInput, table: ArchiveTable, checklist: Checklist): Promise<{ id: string; rows: number; deletion: Deletion } | undefined> {
  const name = `${table.schema}.${table.name}`;
  const id = idFromUuid(uuid4());
  const startedAt = new Date().toISOString();
  let prepared: PreparedBackup | undefined;
  let dumped: DumpedBackup | undefined;
  try {
    const step = { run: input.id, cutoff: input.cutoff, table, batch: input.batch };
    prepared = await lightOn(input.host, `prepare an archive of ${name}`).prepareArchive({ id, target: input.target, step, startedAt, startedBy: input.startedBy });
    const plan = prepared;
    dumped = await heavyOn(input.host, `read due rows of ${name}`).dumpBackup(plan);
    const held = dumped;
    await onHost(held.host, 'is the host that read them still there?').checkRun({ backup: id, attempt: held.attempt });
    const outcomes = await deliverAll(plan, held, checklist);
    const lacking = outcomes.find((outcome) => outcome.status !== 'verified');
    if (lacking !== undefined) throw failure((lacking.error?.code ?? 'bug') as Parameters<typeof failure>[0], `repository ${lacking.name} does not hold archive ${id}, so no row was deleted: ${lacking.error?.message ?? 'unknown'}`);
    const deletion = await bulkOnHost(held.host, `delete the archived rows of ${name}`).deleteArchived({ prepared: plan, dumped: held });
    await onHost(held.host, 'remove spool and keys from the host').finishBackup({ prepared: plan, dumped: held, outcomes }).catch((error: unknown) => { if (isCancellation(error)) throw error; });
    return { id, rows: held.counts.rows ?? 0, deletion };
  } catch (error) {
    const plan = prepared;
    const facts = factsOf(error);
    const empty = facts.code === 'dumpEmpty';
    const after = await CancellationScope.nonCancellable(() => undo(input, plan, dumped, { id, startedAt, error: facts, empty }));
    if (empty) return undefined;
    // The rows were gone before the failure: the set is good, and the failure is told for the table.
    if (after !== null && !isCancellation(error)) throw failure(facts.code, `${facts.message} (archive ${id} holds ${String(after.deleted)} rows that were deleted before)`);
    throw error;
  }
}

/** Leaves nothing of a set that failed, unless its rows are deleted: then it stays, whole. */
async function undo(input: ArchiveOperationInput, prepared: PreparedBackup | undefined, dumped: DumpedBackup | undefined, run: { readonly id: string; readonly startedAt: string; readonly error: { readonly code: string; readonly message: string }; readonly empty: boolean }): Promise<Deletion | null> {
  if (prepared === undefined) return null;
  const withdrawn = run.empty ? null : await lightOn(dumped?.host ?? input.host, 'withdraw what no row was deleted for').withdrawArchive({ prepared });
  const host = dumped?.host ?? input.host;
  if (run.empty) await lightOn(host, 'nothing is due: tidy up').discardArchive({ prepared });
  else await lightOn(host, 'sweep what the failed set left').abandonBackup({ id: run.id, target: prepared.target, kind: 'full', startedAt: run.startedAt, startedBy: input.startedBy, prepared, dumped: dumped ?? null, error: run.error });
  return withdrawn;
}
