import { ScheduleAlreadyRunning, ScheduleNotFoundError, type Client, type ScheduleDescription, type ScheduleSummary } from '@temporalio/client';
import type { Config } from '../../config/schema.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';
import { differences, isOurs, listedSame, listedSameButState, optionsFor, ownerMemo, pauseNote } from './compare.ts';
import { desiredSchedules, schedulePrefix, type DesiredSchedule } from './desired.ts';

export interface ScheduleChange {
  readonly id: string;
  /** `foreign`: something else has that id and is not touched. */
  readonly action: 'create' | 'update' | 'delete' | 'none' | 'foreign';
  /** In words. */
  readonly changes: readonly string[];
  readonly cron?: string;
  readonly timezone?: string;
  readonly paused: boolean;
  readonly note?: string;
  /** Next start; absent where it does not exist yet. */
  readonly next?: string;
  readonly error?: { readonly message: string };
}

export interface ScheduleReport {
  readonly schemaVersion: 1;
  readonly applied: boolean;
  readonly counts: Readonly<Record<ScheduleChange['action'], number>>;
  readonly failed: number;
  readonly schedules: readonly ScheduleChange[];
}

/** Requests to Temporal at once. */
const atOnce = 32;
/** Up to so many schedules a diff reads each one whole; with more it believes the list where that shows no difference. Apply believes it only where that shows that many are to be paused. */
const readWhole = 200;

/**
 * Compares the schedules in Temporal with those the configuration asks for, and with `apply` makes them the same: create, update, delete what is
 * gone. Touches only what it made. One schedule that fails stops no other; a second call goes on where the first one stopped.
 */
export async function reconcileSchedules(client: Client, config: Config, options: { readonly apply: boolean; readonly deep?: boolean; readonly signal?: AbortSignal }): Promise<ScheduleReport> {
  const desired = desiredSchedules(config);
  const wanted = new Set(desired.map(({ id }) => id));
  // A list lags behind: it says what is no longer wanted, and, as a guess that saves a request each, what is there.
  const gone: string[] = [];
  const listed = new Map<string, ScheduleSummary>();
  const many = desired.length > readWhole && options.deep !== true;
  for await (const summary of client.schedule.list({ pageSize: 1000 })) {
    listed.set(summary.scheduleId, summary);
    if (summary.scheduleId.startsWith(schedulePrefix) && !wanted.has(summary.scheduleId) && isOurs(summary.memo)) gone.push(summary.scheduleId);
  }
  const guarded = (id: string, work: () => Promise<ScheduleChange>): Promise<ScheduleChange> => {
    options.signal?.throwIfAborted();
    // A busy server refuses for a moment; everything here may be done again.
    return work().catch(async () => work()).catch((error: unknown) => ({ id, action: 'none' as const, changes: [], paused: false, error: { message: error instanceof Error ? error.message : String(error) } }));
  };
  const kept = await mapBounded(desired, atOnce, (one) => guarded(one.id, () => reconcileOne(client, one, { apply: options.apply, listed: listed.get(one.id), many })));
  const deleted = await mapBounded(gone, atOnce, (id) => guarded(id, () => remove(client, id, options.apply)));
  const schedules = [...kept, ...deleted].sort((a, b) => (a.id < b.id ? -1 : 1));
  const counts = { create: 0, update: 0, delete: 0, none: 0, foreign: 0 };
  for (const one of schedules) if (one.error === undefined) counts[one.action]++;
  return { schemaVersion: 1, applied: options.apply, counts, failed: schedules.filter((one) => one.error !== undefined).length, schedules };
}

async function describe(client: Client, id: string): Promise<ScheduleDescription | undefined> {
  try {
    return await client.schedule.getHandle(id).describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}

/** @returns false when it exists already */
async function create(client: Client, desired: DesiredSchedule): Promise<boolean> {
  try {
    await client.schedule.create({ scheduleId: desired.id, memo: ownerMemo, ...optionsFor(desired) });
    return true;
  } catch (error) {
    if (error instanceof ScheduleAlreadyRunning) return false;
    throw error;
  }
}

async function reconcileOne(client: Client, desired: DesiredSchedule, { apply, listed, many }: { readonly apply: boolean; readonly listed: ScheduleSummary | undefined; readonly many: boolean }): Promise<ScheduleChange> {
  const { id, cron, timezone } = desired;
  const base = { id, cron, timezone };
  const created = { ...base, action: 'create' as const, changes: [], paused: desired.paused !== undefined, ...(desired.paused === undefined ? {} : { note: desired.paused }) };
  if (apply && listed === undefined && (await create(client, desired))) return created;
  if (!apply && many && listed !== undefined && listedSame(desired, listed)) return { ...base, ...shownState(listed), action: 'none', changes: [] };
  if (apply && many && listed !== undefined && desired.paused !== undefined && !listedSame(desired, listed) && listedSameButState(desired, listed)) {
    // The quick way to pause many: right whatever it was before.
    await client.schedule.getHandle(id).pause(pauseNote(desired.paused));
    return { ...base, paused: true, note: pauseNote(desired.paused), action: 'update', changes: [`is to be paused: ${desired.paused}`] };
  }
  const compared = apply ? await update(client, desired) : await compare(client, desired);
  if (compared === undefined) {
    // Listed, and deleted just now.
    if (apply && !(await create(client, desired))) throw new Error(`${id} is being changed by somebody else`);
    return created;
  }
  const { actual, changes } = compared;
  const state = shownState(actual);
  if (changes === 'foreign') return { ...base, ...state, action: 'foreign', changes: ['a schedule of this id exists that Resurgo did not make'] };
  return { ...base, ...state, action: changes.length === 0 ? 'none' : 'update', changes };
}

interface Compared {
  readonly actual: ScheduleDescription;
  readonly changes: readonly string[] | 'foreign';
}

const look = (desired: DesiredSchedule, actual: ScheduleDescription): Compared => ({ actual, changes: isOurs(actual.memo) ? differences(desired, actual) : 'foreign' });

async function compare(client: Client, desired: DesiredSchedule): Promise<Compared | undefined> {
  const actual = await describe(client, desired.id);
  return actual === undefined ? undefined : look(desired, actual);
}

/** Reads and writes in one call of the client, so that a pause by hand in between is not lost. Undefined where there is none. */
async function update(client: Client, desired: DesiredSchedule): Promise<Compared | undefined> {
  let compared: Compared | undefined;
  const unchanged = new Error('nothing to change');
  try {
    await client.schedule.getHandle(desired.id).update((actual) => {
      compared = look(desired, actual);
      if (compared.changes === 'foreign' || compared.changes.length === 0) throw unchanged;
      return optionsFor(desired, actual.state);
    });
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    if (error !== unchanged) throw error;
  }
  return compared;
}

function shownState({ state, info }: Pick<ScheduleSummary, 'state' | 'info'>): Pick<ScheduleChange, 'paused' | 'note' | 'next'> {
  const next = info.nextActionTimes[0];
  return { paused: state.paused, ...(state.note === undefined || state.note === '' ? {} : { note: state.note }), ...(next === undefined ? {} : { next: next.toISOString() }) };
}

async function remove(client: Client, id: string, apply: boolean): Promise<ScheduleChange> {
  const actual = await describe(client, id);
  // The list may name what another apply has deleted just now.
  if (actual === undefined || !isOurs(actual.memo)) return { id, action: 'none', changes: [], paused: false };
  if (apply) await client.schedule.getHandle(id).delete();
  return { id, action: 'delete', changes: ['the configuration no longer has it'], paused: actual.state.paused, ...(actual.state.note ? { note: actual.state.note } : {}) };
}
