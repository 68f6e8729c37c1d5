/** Everything that happens by the clock while WAL streams. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ResurgoError } from '../../domain/errors.ts';
import { parseLsn } from '../../domain/lsn.ts';
import type { WalSample } from '../../domain/wal.ts';
import { openClient, resolveConnection } from '../../providers/postgres/connection.ts';
import { endClient } from '../../providers/postgres/postgres-client.ts';
import type { ReplicationSession } from '../../providers/postgres/replication-session.ts';
import type { Archiver } from '../../providers/wal/archiver.ts';
import { advanceSlot, ensureSlot, readSlot, type SlotState } from '../../providers/wal/slots.ts';
import { tellHealth } from './health.ts';
import { catchUp } from './lanes.ts';
import type { WalRun } from './run.ts';

const sampleMs = 1000;
const slotMs = 2000;
const standbyMs = 10_000;
const markMs = 10_000;
const copyMs = 10_000;
/** A primary that says nothing for so long is looked for anew. */
const silentMs = 20_000;

export interface Tending {
  /** Rejects with what makes going on senseless; the session is cut then. */
  readonly failed: Promise<never>;
  readonly ended: Promise<void>;
  readonly end: () => void;
  readonly timeIsUp: boolean;
}

export function tend(run: WalRun, archiver: Archiver, session: ReplicationSession, until: number): Tending {
  const failing = Promise.withResolvers<never>();
  failing.promise.catch(() => undefined);
  const ending = new AbortController();
  const state = { failed: failing.promise, ended: Promise.resolve(), end: () => { ending.abort(); }, timeIsUp: false };
  const signal = AbortSignal.any([ending.signal, run.signal]);
  const { walFlush } = run.settings.config;
  let due = { flush: Date.now() + walFlush, slot: 0, standby: 0, copy: 0 };
  let advanced = 0n;
  const tick = async (): Promise<void> => {
    archiver.throwIfFailed();
    const { sample, slot } = await askServer(run);
    archiver.sample(sample);
    const now = Date.now();
    if (now >= due.flush) {
      archiver.flush();
      due = { ...due, flush: now + walFlush };
    }
    archiver.mark(markMs);
    if (now >= due.slot && archiver.stored > advanced) {
      await advanceSlot(run.client, run.slot, archiver.stored);
      advanced = archiver.stored;
      due = { ...due, slot: now + slotMs };
    }
    if (now >= due.standby) {
      due = { ...due, standby: now + standbyMs };
      void tendStandbys(run, archiver.stored);
    }
    if (now >= due.copy && run.lanes.some((lane) => lane.late)) {
      due = { ...due, copy: Number.MAX_SAFE_INTEGER };
      void catchUp(run).finally(() => { due = { ...due, copy: Date.now() + copyMs }; });
    }
    await tellHealth(run, archiver, sample, slot);
    // What comes next decides where to go on, and makes the slot anew.
    if (!slot.exists || slot.walStatus === 'lost') throw new ResurgoError('sourceUnreachable', `the slot ${run.slot} is ${slot.exists ? 'lost: the server gave it up' : 'gone'}`);
    if (now >= until) {
      state.timeIsUp = true;
      session.destroy();
    }
  };
  state.ended = (async () => {
    try {
      while (!signal.aborted) {
        await tick();
        await sleep(Math.min(sampleMs, Math.max(100, walFlush / 2)), undefined, { signal }).catch(() => undefined);
      }
    } catch (error) {
      if (signal.aborted) return;
      failing.reject(error);
      session.destroy();
    }
  })();
  return state;
}

/** Where the server is, by its own clock, and what it holds for us. @throws sourceUnreachable when it is silent */
async function askServer(run: WalRun): Promise<{ sample: WalSample; slot: SlotState }> {
  const ask = async (): Promise<{ sample: WalSample; slot: SlotState }> => {
    const { rows: [row] } = await run.client.query<{ at: number; lsn: string }>('select (extract(epoch from clock_timestamp()) * 1000)::float8 as at, pg_current_wal_flush_lsn()::text as lsn');
    if (row === undefined) throw new ResurgoError('bug', 'no answer to a sample');
    return { sample: { time: Math.floor(row.at), lsn: parseLsn(row.lsn) }, slot: await readSlot(run.client, run.slot) };
  };
  const silent = Promise.withResolvers<never>();
  const timer = setTimeout(() => { silent.reject(new ResurgoError('sourceUnreachable', `${run.source.connection.redacted} did not answer within ${String(silentMs / 1000)} s`)); }, silentMs);
  try {
    return await Promise.race([ask(), silent.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The slot on every standby too, so that WAL is held there when it becomes the primary. */
async function tendStandbys(run: WalRun, stored: bigint): Promise<void> {
  for (const endpoint of run.settings.endpoints) {
    try {
      const connection = resolveConnection(endpoint.url(), { ...endpoint.overrides(), applicationName: 'resurgo-wal', connectTimeoutMs: 5000 });
      if (connection.redacted === run.source.connection.redacted) continue;
      const client = await openClient(connection, { signal: run.signal });
      try {
        const { rows: [row] } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
        if (row?.standby !== true) continue;
        await ensureSlot(client, run.slot, connection);
        await advanceSlot(client, run.slot, stored);
      } finally {
        await endClient(client);
      }
    } catch {
      // A standby that does not answer is the replication monitor's to report.
    }
  }
}
