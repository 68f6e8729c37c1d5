import { ScheduleNotFoundError, type Client, type ScheduleDescription } from '@temporalio/client';
import type { Config } from '../../config/schema.ts';
import { mapBounded } from '../../providers/repository/bounded.ts';
import { differences, isOurs, optionsFor, ownerMemo } from './compare.ts';
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
const atOnce = 24;

/**
 * Compares the schedules in Temporal with those the configuration asks for, and with `apply` makes them the same: create, update, delete what is
 * gone. Touches only what it made. One schedule that fails stops no other; a second call goes on where the first one stopped.
 */
export async function reconcileSchedules(client: Client, config: Config, options: { readonly apply: boolean; readonly signal?: AbortSignal }): Promise<ScheduleReport> {
  const desired = desiredSchedules(config);
  const wanted = new Set(desired.map(({ id }) => id));
  // A list lags behind; it is only asked for what is no longer wanted.
  const gone: string[] = [];
  for await (const summary of client.schedule.list({ pageSize: 1000 })) {
    if (summary.scheduleId.startsWith(schedulePrefix) && !wanted.has(summary.scheduleId) && isOurs(summary.memo)) gone.push(summary.scheduleId);
  }
  const guarded = (id: string, work: () => Promise<ScheduleChange>): Promise<ScheduleChange> => {
    options.signal?.throwIfAborted();
    return work().catch((error: unknown) => ({ id, action: 'none' as const, changes: [], paused: false, error: { message: error instanceof Error ? error.message : String(error) } }));
  };
  const kept = await mapBounded(desired, atOnce, (one) => guarded(one.id, () => reconcileOne(client, one, options.apply)));
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

async function reconcileOne(client: Client, desired: DesiredSchedule, apply: boolean): Promise<ScheduleChange> {
  const { id, cron, timezone } = desired;
  const actual = await describe(client, id);
  const base = { id, cron, timezone };
  if (actual === undefined) {
    if (apply) await client.schedule.create({ scheduleId: id, memo: ownerMemo, ...optionsFor(desired) });
    return { ...base, action: 'create', changes: [], paused: desired.paused !== undefined, ...(desired.paused === undefined ? {} : { note: desired.paused }) };
  }
  const next = actual.info.nextActionTimes[0];
  const state = { paused: actual.state.paused, ...(actual.state.note === undefined || actual.state.note === '' ? {} : { note: actual.state.note }), ...(next === undefined ? {} : { next: next.toISOString() }) };
  if (!isOurs(actual.memo)) return { ...base, ...state, action: 'foreign', changes: ['a schedule of this id exists that Resurgo did not make'] };
  const changes = differences(desired, actual);
  if (changes.length === 0) return { ...base, ...state, action: 'none', changes };
  // The state is read again in the update: a pause set in between is kept.
  if (apply) await client.schedule.getHandle(id).update((previous) => optionsFor(desired, previous.state));
  return { ...base, ...state, action: 'update', changes };
}

async function remove(client: Client, id: string, apply: boolean): Promise<ScheduleChange> {
  const actual = await describe(client, id);
  // The list may name what another apply has deleted just now.
  if (actual === undefined || !isOurs(actual.memo)) return { id, action: 'none', changes: [], paused: false };
  if (apply) await client.schedule.getHandle(id).delete();
  return { id, action: 'delete', changes: ['the configuration no longer has it'], paused: actual.state.paused, ...(actual.state.note ? { note: actual.state.note } : {}) };
}
