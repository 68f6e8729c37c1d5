/** One run of the WAL archive of a target: finds the primary, decides where to go on, streams and stores until it is told to stop. */
import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatLsn, hexLsn, parseLsn } from '../domain/lsn.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { coverage, type WalSample } from '../domain/wal.ts';
import { walRepositories } from '../config/lookup.ts';
import { listBackups, readManifestBytes } from '../providers/repository/catalogue.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import { openClient, resolveConnection, type PostgresConnection } from '../providers/postgres/connection.ts';
import { endClient, type PgClient } from '../providers/postgres/postgres-client.ts';
import { mapPostgresError } from '../providers/postgres/postgres-error.ts';
import { ReplicationSession } from '../providers/postgres/replication-session.ts';
import { Archiver } from '../providers/wal/archiver.ts';
import { readArchive, readHeader, type ArchivedLineage } from '../providers/wal/archive-read.ts';
import { copyArchive } from '../providers/wal/copy-archive.ts';
import { historyFile, lineageFile, lineagePrefix, timelineName, timelinePrefix } from '../providers/wal/layout.ts';
import { formatLineage, lineageId } from '../providers/wal/lineage-file.ts';
import { decidePosition, parseHistory, type ServerPosition } from '../providers/wal/position.ts';
import { RepositoryLane } from '../providers/wal/repository-lane.ts';
import { plainAt, roomFor, WalSealer } from '../providers/wal/sealer.ts';
import { advanceSlot, ensureSlot, readSlot, slotName, type SlotState } from '../providers/wal/slots.ts';
import { streamWal } from '../providers/wal/wal-stream.ts';
import type { ActivityDeps } from './deps.ts';
import type { Pulse } from './heartbeat.ts';
import { sourceServer } from './source-server.ts';
import { postgresSettings, targetSettings, type PostgresSettings } from './target-settings.ts';

export interface ArchiveInput {
  readonly target: string;
  /** Stretches for which the workflow has asked for a base backup already. */
  readonly asked: readonly string[];
  /** The run ends by itself after this, so that the workflow can begin a new history. */
  readonly forMs: number;
}

export interface ArchiveOutcome {
  readonly ended: 'time' | 'needsBackup';
  /** The stretch without a base backup, and why it began. */
  readonly stretch?: string;
  readonly reason?: string;
}

const mostBlockBytes = 16 * 1024 * 1024;
const sampleMs = 1000;
const slotMs = 2000;
const standbyMs = 10_000;
const markMs = 10_000;
const copyMs = 10_000;
/** A primary that says nothing for so long is looked for anew. */
const silentMs = 20_000;
/** Above this share of what the server lets the slot hold, people are told. */
const alarmShare = 0.7;

/** What `resurgo status` reads of a running archive. */
export interface WalHealth {
  readonly at: string;
  readonly target: string;
  readonly lineage: string;
  readonly timeline: number;
  readonly server: string;
  readonly flushLsn: string;
  readonly storedLsn: string;
  readonly storedTime: string | null;
  /** By the database's clock. */
  readonly rpoMs: number | null;
  readonly lagBytes: number;
  readonly slot: { readonly name: string; readonly status: string | null; readonly retainedBytes: number | null; readonly safeBytes: number | null };
  readonly repositories: readonly { readonly name: string; readonly required: boolean; readonly late: boolean; readonly problem: string | null }[];
  readonly problems: readonly string[];
}

export const walHealthPath = (stateDir: string, target: string): string => join(stateDir, 'wal', `${target}.json`);

export async function archiveWal(deps: ActivityDeps, input: ArchiveInput, { signal, report }: Pulse): Promise<ArchiveOutcome> {
  const any = targetSettings(deps, input.target);
  if (any.config.type !== 'postgres' || any.engine !== 'physical' || any.config.wal !== true) throw new ResurgoError('configInvalid', `target ${input.target} has no WAL archive (wal: true with engine: physical)`);
  const settings = postgresSettings(any);
  const until = Date.now() + input.forMs;
  report({ phase: 'connect' });
  const run = await WalRun.open(deps, settings, signal, report);
  try {
    const needed = await run.begin(input.asked);
    if (needed !== undefined) return { ended: 'needsBackup', ...needed };
    await run.stream(until);
    return { ended: 'time' };
  } finally {
    await run.close();
  }
}

interface Opened {
  readonly connection: PostgresConnection;
  readonly systemId: string;
  readonly segmentBytes: number;
  readonly version: string;
}

class WalRun {
  private readonly deps: ActivityDeps;
  private readonly settings: PostgresSettings;
  private readonly source: Opened;
  private readonly client: PgClient;
  private readonly sealer: WalSealer;
  private readonly trusted: readonly string[];
  private readonly stop = new AbortController();
  private readonly signal: AbortSignal;
  private readonly report: Pulse['report'];
  private readonly slot: string;
  private readonly blockBytes: number;
  private lanes: RepositoryLane[] = [];
  private lineage = '';
  private timeline = 0;
  private stored = 0n;
  private problems: string[] = [];
  private archiver: Archiver | undefined;

  private constructor(deps: ActivityDeps, settings: PostgresSettings, source: Opened, client: PgClient, sealer: WalSealer, trusted: readonly string[], signal: AbortSignal, report: Pulse['report']) {
    this.deps = deps;
    this.settings = settings;
    this.source = source;
    this.client = client;
    this.sealer = sealer;
    this.trusted = trusted;
    this.signal = AbortSignal.any([signal, this.stop.signal]);
    this.report = report;
    this.slot = slotName(settings.name);
    this.blockBytes = Math.min(source.segmentBytes, mostBlockBytes);
  }

  /** @throws sourceUnreachable when no primary answers, repositoryUnreachable when a required repository does not */
  static async open(deps: ActivityDeps, settings: PostgresSettings, signal: AbortSignal, report: Pulse['report']): Promise<WalRun> {
    const { connection, facts } = await sourceServer({ ...settings, config: { ...settings.config, backupFrom: 'primary' } }, 'resurgo-wal');
    if (facts.inRecovery) throw new ResurgoError('sourceUnreachable', `the only server of ${settings.name} that answers (${connection.redacted}) is a standby; WAL is archived from the primary`);
    if (!facts.canReplicate) throw new ResurgoError('sourceDenied', `The role ${facts.role} at ${connection.redacted} may not replicate.`, { details: { hint: `ALTER ROLE "${facts.role}" REPLICATION; and allow it for database "replication" in pg_hba.conf.` } });
    const sealer = new WalSealer({ hostKey: await deps.keys.hostKey(), audience: await deps.keys.audience(), compression: settings.compression, level: settings.compressionLevel ?? 1 });
    const trusted = await deps.keys.trusted();
    const client = await openClient(connection, { signal });
    const run = new WalRun(deps, settings, { connection, systemId: facts.systemId, segmentBytes: facts.walSegmentBytes, version: facts.version }, client, sealer, trusted, signal, report);
    try {
      await run.openLanes();
      return run;
    } catch (error) {
      await run.close();
      throw error;
    }
  }

  private async openLanes(): Promise<void> {
    for (const { name, required } of walRepositories(this.deps.loaded.config, this.settings.name)) {
      try {
        const store = await this.deps.stores.open(name, { create: true });
        this.lanes.push(new RepositoryLane({ store, required, sealer: this.sealer, signal: this.signal }));
      } catch (error) {
        if (required || !isResurgoError(error)) throw error;
        this.problems.push(`repository ${name} is left behind: ${error.message}`);
      }
    }
  }

  private get required(): RepositoryLane[] {
    return this.lanes.filter((lane) => lane.required);
  }

  private async server(session: ReplicationSession): Promise<ServerPosition> {
    const [identity] = await session.command('IDENTIFY_SYSTEM');
    if (identity?.['systemid'] !== this.source.systemId) throw new ResurgoError('sourceChanged', `Another server (system ${identity?.['systemid'] ?? '?'}) answers replication at ${this.source.connection.redacted} than SQL (system ${this.source.systemId}).`);
    const timeline = Number(identity['timeline']);
    const history = timeline > 1 ? await readHistory(session, timeline) : undefined;
    return { timeline, flushLsn: parseLsn(identity['xlogpos'] ?? '0/0'), history, historySha256: history === undefined ? undefined : sha256(history) };
  }

  /** Decides where to go on. @returns the stretch that has no base backup, where one is to be taken */
  async begin(asked: readonly string[]): Promise<{ stretch: string; reason: string } | undefined> {
    const { connection, systemId } = this.source;
    const { name } = this.settings;
    const session = await ReplicationSession.open(connection, this.signal);
    try {
      const server = await this.server(session);
      const slotBefore = await ensureSlot(this.client, this.slot, connection);
      const lead = await this.leading();
      for (const lane of this.lanes) {
        if (lane === lead.lane) continue;
        if (lane.required) await copyArchive(lead.lane.store, lane.store, name, systemId, this.trusted, this.signal);
        // What it lacks comes by copy, beside the stream: it must not hold that up.
        else lane.late = true;
      }
      const decision = decidePosition(lead.archive, server);
      if (decision.kind === 'continue') {
        this.lineage = decision.lineage.id;
        this.timeline = decision.timeline;
        this.stored = await this.unbroken(decision.lineage, decision.timeline, decision.stored);
      } else {
        await this.newLineage(decision, server);
        this.timeline = server.timeline;
        if (server.history !== undefined) await this.storeHistory(server.timeline, server.history);
      }
      await this.loadPieces();
      if (slotBefore.walStatus === 'lost') this.problems.push(`the server gave up the slot ${this.slot}: it held more WAL than max_slot_wal_keep_size allows; it was made anew`);
      return await this.stretchWithoutBackup(lead.archive, asked);
    } catch (error) {
      throw mapPostgresError(error, 'finding where to go on with WAL', connection, 'sourceUnreachable');
    } finally {
      session.destroy();
    }
  }

  /**
   * Objects are stored several at once: a crash may leave one stored and the one before it not. The slot has never moved beyond what is there without a hole, so
   * the server still has what is missing: archiving goes on at the end of the stretch the slot points into, not at the end of the last.
   */
  private async unbroken(lineage: ArchivedLineage, timeline: number, end: bigint): Promise<bigint> {
    const { restartLsn } = await readSlot(this.client, this.slot);
    if (restartLsn === undefined) return end;
    const held = coverage(lineage.timelines.find((one) => one.timeline === timeline)?.pieces ?? []);
    return held.find((stretch) => stretch.start <= restartLsn && restartLsn <= stretch.end)?.end ?? end;
  }

  /** Of the required repositories the one whose archive reaches furthest. */
  private async leading(): Promise<{ lane: RepositoryLane; archive: ArchivedLineage[] }> {
    let best: { lane: RepositoryLane; archive: ArchivedLineage[]; end: bigint } | undefined;
    for (const lane of this.required) {
      const archive = await readArchive(lane.store, this.settings.name, this.source.systemId, this.trusted, this.signal);
      const end = coverage(archive[0]?.timelines.at(-1)?.pieces ?? []).at(-1)?.end ?? 0n;
      if (best === undefined || archive.length > best.archive.length || (archive.length === best.archive.length && end > best.end)) best = { lane, archive, end };
    }
    if (best === undefined) throw new ResurgoError('configInvalid', `target ${this.settings.name} has no repository for WAL`);
    return best;
  }

  private block(lsn: bigint): bigint {
    return lsn - (lsn % BigInt(this.blockBytes));
  }

  private segment(lsn: bigint): bigint {
    return lsn - (lsn % BigInt(this.source.segmentBytes));
  }

  private async newLineage(decision: Extract<ReturnType<typeof decidePosition>, { kind: 'begin' }>, server: ServerPosition): Promise<void> {
    const { restartLsn } = await readSlot(this.client, this.slot);
    const start = this.segment(decision.start ?? (await this.backupStart(server)) ?? restartLsn ?? server.flushLsn);
    const { name } = this.settings;
    const { systemId, segmentBytes, version } = this.source;
    this.lineage = lineageId([name, systemId, String(server.timeline), server.historySha256 ?? '', decision.parent === null ? '' : JSON.stringify([decision.parent.lineage, decision.parent.timeline, formatLsn(decision.parent.lsn)]), hexLsn(start)]);
    this.stored = start;
    const facts = {
      format: 1 as const, id: this.lineage, target: name, systemId, createdAt: new Date().toISOString(), segmentBytes, version, timeline: server.timeline, start: hexLsn(start),
      parent: decision.parent === null ? null : { lineage: decision.parent.lineage, timeline: decision.parent.timeline, lsn: formatLsn(decision.parent.lsn) }, reason: decision.reason,
    };
    const file = formatLineage(facts, await this.deps.keys.hostKey());
    const key = `${lineagePrefix(name, systemId, this.lineage)}${lineageFile}`;
    for (const lane of this.lanes) await this.putOnce(lane, key, file);
  }

  private async putOnce(lane: RepositoryLane, key: string, body: Buffer): Promise<void> {
    try {
      await lane.store.put(key, body, { ifAbsent: true, signal: this.signal });
    } catch (error) {
      if (isResurgoError(error, 'objectExists')) return;
      if (lane.required) throw error;
      lane.late = true;
    }
  }

  /** WAL from the newest backup on is worth having too, if the server still has it. */
  private async backupStart(server: ServerPosition): Promise<bigint | undefined> {
    for (const lane of this.required) {
      const newest = (await listBackups(lane.store, this.settings.name, this.signal)).find((ref) => ref.published && ref.systemId === this.source.systemId);
      if (newest === undefined) continue;
      const { wal } = parseManifest(await readManifestBytes(lane.store, newest), { ref: newest, trusted: this.trusted });
      if (wal?.timeline === server.timeline) return parseLsn(wal.startLsn);
    }
    return undefined;
  }

  private async storeHistory(timeline: number, text: string): Promise<void> {
    const { name } = this.settings;
    const plain = Buffer.from(text, 'utf8');
    const slot = new ArrayBuffer(roomFor(plain.length));
    Buffer.from(slot, plainAt).set(plain);
    const key = `${timelinePrefix(name, this.source.systemId, this.lineage, timeline)}${historyFile}`;
    const sealed = await this.sealer.seal({
      kind: 'history', target: name, systemId: this.source.systemId, lineage: this.lineage, timeline, start: hexLsn(0n), end: hexLsn(0n),
      ancestors: parseHistory(text).map((one): [number, string] => [one.timeline, hexLsn(one.lsn)]), sha256: sha256(text),
    }, slot, plain.length);
    for (const lane of this.lanes) {
      if (sealed.key !== undefined) await this.sealer.storeKey(lane.store, sealed.key, this.signal).catch((error: unknown) => { if (lane.required) throw error; });
      await this.putOnce(lane, key, sealed.object);
    }
  }

  private async loadPieces(): Promise<void> {
    const stretches: bigint[] = [];
    for (const lane of this.lanes) {
      await this.loadLane(lane).catch((error: unknown) => {
        if (lane.required) throw error;
        lane.late = true;
      });
      if (lane.required) stretches.push(lane.reach(this.stored));
    }
    const [least] = stretches.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    if (least !== undefined) this.stored = least;
  }

  private async loadLane(lane: RepositoryLane): Promise<void> {
    const archive = await readArchive(lane.store, this.settings.name, this.source.systemId, this.trusted, this.signal);
    const held = archive.find((one) => one.id === this.lineage)?.timelines.find((one) => one.timeline === this.timeline);
    lane.pieces.splice(0, lane.pieces.length, ...(held?.pieces ?? []));
  }

  /** Where the server has removed what comes next, archiving goes on behind the gap. */
  private async skipWhatIsGone(): Promise<void> {
    const session = await ReplicationSession.open(this.source.connection, this.signal);
    try {
      const { timeline } = await this.server(session);
      if (timeline !== this.timeline) {
        // The rest of the old timeline is gone from this server: the new one begins where it was left.
        const text = await readHistory(session, timeline);
        this.problems.push(`WAL from ${formatLsn(this.stored)} on of timeline ${String(this.timeline)} is not on the new primary any more`);
        await this.storeHistory(timeline, text);
        this.timeline = timeline;
        this.stored = this.segment(parseHistory(text).at(-1)?.lsn ?? this.stored);
        await this.loadPieces();
        return;
      }
    } finally {
      session.destroy();
    }
    await ensureSlot(this.client, this.slot, this.source.connection);
    const { restartLsn } = await readSlot(this.client, this.slot);
    const next = this.segment(restartLsn ?? this.stored);
    if (next <= this.stored) throw new ResurgoError('walGap', `WAL ${formatLsn(this.stored)} of timeline ${String(this.timeline)} is gone from ${this.source.connection.redacted}, and the slot ${this.slot} holds nothing newer`);
    this.problems.push(`WAL ${formatLsn(this.stored)} to ${formatLsn(next)} was removed by the server before it was stored: a gap`);
    this.stored = next;
  }

  /** After a gap, or in a lineage that left another, nothing can be reached until there is a base backup behind its beginning. */
  private async stretchWithoutBackup(archive: readonly ArchivedLineage[], asked: readonly string[]): Promise<{ stretch: string; reason: string } | undefined> {
    const pieces = this.required[0]?.pieces ?? [];
    const stretches = coverage(pieces);
    const known = archive.find(({ id }) => id === this.lineage);
    const behindGap = stretches.length > 1 || (stretches.length === 1 && (stretches[0]?.end ?? 0n) < this.stored);
    const begins = behindGap ? ((stretches.at(-1)?.end ?? 0n) >= this.stored ? (stretches.at(-1)?.start ?? this.stored) : this.stored) : undefined;
    const left = archive.length > 0 && (known === undefined || known.parent !== null || archive.length > 1);
    if (begins === undefined && !left) return undefined;
    const from = begins ?? stretches[0]?.start ?? this.stored;
    const stretch = `${this.lineage.slice(0, 8)}-${timelineName(this.timeline)}-${hexLsn(from)}`;
    if (asked.includes(stretch) || (await this.hasBackupFrom(from))) return undefined;
    return { stretch, reason: begins === undefined ? 'another history began: no backup belongs to it yet' : `there is a gap in the WAL before ${formatLsn(from)}` };
  }

  private async hasBackupFrom(lsn: bigint): Promise<boolean> {
    for (const lane of this.lanes) {
      for (const ref of await listBackups(lane.store, this.settings.name, this.signal).catch(() => [])) {
        if (!ref.published || ref.systemId !== this.source.systemId) continue;
        const { wal } = parseManifest(await readManifestBytes(lane.store, ref), { ref, trusted: this.trusted });
        if (wal !== undefined && parseLsn(wal.startLsn) >= lsn && wal.timeline >= this.timeline) return true;
        // Older ones are not behind it either.
        if (wal !== undefined && parseLsn(wal.stopLsn) < lsn) break;
      }
    }
    return false;
  }

  async stream(until: number): Promise<void> {
    let last = until;
    while (Date.now() < last) {
      let next: { timeline: number; start: bigint } | undefined;
      try {
        next = await this.streamTimeline(last);
      } catch (error) {
        if (!isGone(error)) throw error;
        await this.skipWhatIsGone();
        // Soon the workflow is told, which starts a base backup.
        last = Math.min(last, Date.now() + 5000);
        continue;
      }
      if (next === undefined) return;
      const session = await ReplicationSession.open(this.source.connection, this.signal);
      try {
        await this.storeHistory(next.timeline, await readHistory(session, next.timeline));
      } finally {
        session.destroy();
      }
      this.timeline = next.timeline;
      // As a server begins it: with the whole segment in which the old one was left.
      this.stored = this.segment(next.start);
      await this.loadPieces();
    }
  }

  /** @returns the next timeline when this one has ended, undefined when time is up */
  private async streamTimeline(until: number): Promise<{ timeline: number; start: bigint } | undefined> {
    const { connection, systemId, segmentBytes } = this.source;
    const start = this.block(this.stored);
    const archiver = new Archiver({
      target: this.settings.name, systemId, lineage: this.lineage, timeline: this.timeline, blockBytes: this.blockBytes, segmentBytes, stored: this.stored, start,
      lanes: this.lanes, sealer: this.sealer, flushMs: this.settings.config.walFlush, signal: this.signal, openSamples: await this.openSamples(start),
    });
    this.archiver = archiver;
    const session = await ReplicationSession.open(connection, this.signal);
    const tending = this.tend(archiver, session, until);
    try {
      const next = await Promise.race([
        streamWal({ session, timeline: this.timeline, start, onData: archiver.data, received: () => archiver.received, idleTimeoutMs: 90_000 }),
        tending.failed,
      ]);
      tending.end();
      await archiver.drain();
      this.stored = archiver.stored;
      return next;
    } catch (error) {
      if (tending.timeIsUp) {
        await archiver.drain();
        return undefined;
      }
      throw mapPostgresError(error, 'streaming WAL', connection, 'sourceUnreachable');
    } finally {
      tending.end();
      session.destroy();
      await Promise.race([tending.ended, sleep(3000)]);
    }
  }

  /** Samples that stand in the pieces of the block the stream begins with: they go into the whole block. */
  private async openSamples(start: bigint): Promise<WalSample[]> {
    const [lane] = this.required;
    if (lane === undefined) return [];
    const prefix = timelinePrefix(this.settings.name, this.source.systemId, this.lineage, this.timeline);
    const inside = lane.pieces.filter((piece) => piece.name !== '' && piece.start >= start && piece.start < piece.end);
    const samples: WalSample[] = [];
    for (const piece of inside) {
      const header = await readHeader(lane.store, `${prefix}${piece.name}`, this.trusted, this.signal).catch(() => undefined);
      for (const [time, lsn] of header?.samples ?? []) samples.push({ time, lsn: BigInt(`0x${lsn}`) });
    }
    return samples.sort((a, b) => a.time - b.time);
  }

  /** Everything that happens by the clock while the stream runs. */
  private tend(archiver: Archiver, session: ReplicationSession, until: number): { failed: Promise<never>; ended: Promise<void>; end: () => void; timeIsUp: boolean } {
    const failing = Promise.withResolvers<never>();
    failing.promise.catch(() => undefined);
    const ending = new AbortController();
    const state = { failed: failing.promise, ended: Promise.resolve(), end: () => { ending.abort(); }, timeIsUp: false };
    const signal = AbortSignal.any([ending.signal, this.signal]);
    let due = { flush: Date.now() + this.settings.config.walFlush, slot: 0, standby: 0, copy: 0 };
    let advanced = 0n;
    const tick = async (): Promise<void> => {
      archiver.throwIfFailed();
      const { sample, slot } = await this.sample();
      archiver.sample(sample);
      const now = Date.now();
      if (now >= due.flush) {
        archiver.flush();
        due = { ...due, flush: now + this.settings.config.walFlush };
      }
      archiver.mark(markMs);
      if (now >= due.slot && archiver.stored > advanced) {
        await advanceSlot(this.client, this.slot, archiver.stored);
        advanced = archiver.stored;
        due = { ...due, slot: now + slotMs };
      }
      if (now >= due.standby) {
        due = { ...due, standby: now + standbyMs };
        void this.tendStandbys(archiver.stored);
      }
      if (now >= due.copy && this.lanes.some((lane) => lane.late)) {
        due = { ...due, copy: Number.MAX_SAFE_INTEGER };
        void this.catchUp().finally(() => { due = { ...due, copy: Date.now() + copyMs }; });
      }
      await this.tell(archiver, sample, slot);
      // What comes next decides where to go on, and makes the slot anew.
      if (!slot.exists || slot.walStatus === 'lost') throw new ResurgoError('sourceUnreachable', `the slot ${this.slot} is ${slot.exists ? 'lost: the server gave it up' : 'gone'}`);
      if (now >= until) {
        state.timeIsUp = true;
        session.destroy();
      }
    };
    state.ended = (async () => {
      try {
        while (!signal.aborted) {
          await tick();
          await sleep(Math.min(sampleMs, Math.max(100, this.settings.config.walFlush / 2)), undefined, { signal }).catch(() => undefined);
        }
      } catch (error) {
        if (signal.aborted) return;
        failing.reject(error);
        session.destroy();
      }
    })();
    return state;
  }

  private async sample(): Promise<{ sample: WalSample; slot: SlotState }> {
    const ask = async (): Promise<{ sample: WalSample; slot: SlotState }> => {
      const { rows: [row] } = await this.client.query<{ at: number; lsn: string }>('select (extract(epoch from clock_timestamp()) * 1000)::float8 as at, pg_current_wal_flush_lsn()::text as lsn');
      if (row === undefined) throw new ResurgoError('bug', 'no answer to a sample');
      return { sample: { time: Math.floor(row.at), lsn: parseLsn(row.lsn) }, slot: await readSlot(this.client, this.slot) };
    };
    const silent = Promise.withResolvers<never>();
    const timer = setTimeout(() => { silent.reject(new ResurgoError('sourceUnreachable', `${this.source.connection.redacted} did not answer within ${String(silentMs / 1000)} s`)); }, silentMs);
    try {
      return await Promise.race([ask(), silent.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** On every standby too, so that WAL is held there when it becomes the primary. */
  private async tendStandbys(stored: bigint): Promise<void> {
    for (const endpoint of this.settings.endpoints) {
      try {
        const connection = resolveConnection(endpoint.url(), { ...endpoint.overrides(), applicationName: 'resurgo-wal', connectTimeoutMs: 5000 });
        if (connection.redacted === this.source.connection.redacted) continue;
        const client = await openClient(connection, { signal: this.signal });
        try {
          const { rows: [row] } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
          if (row?.standby !== true) continue;
          await ensureSlot(client, this.slot, connection);
          await advanceSlot(client, this.slot, stored);
        } finally {
          await endClient(client);
        }
      } catch {
        // A standby that does not answer is the replication monitor's to report.
      }
    }
  }

  /** Brings repositories that were left behind up to the others. */
  private async catchUp(): Promise<void> {
    const from = this.required[0];
    if (from === undefined) return;
    for (const lane of this.lanes.filter((one) => one.late)) {
      try {
        // Twice: the second round takes what came during the first, and from then on it is fed directly.
        await copyArchive(from.store, lane.store, this.settings.name, this.source.systemId, this.trusted, this.signal);
        await this.loadLane(lane);
        lane.late = false;
        lane.problem = undefined;
        await copyArchive(from.store, lane.store, this.settings.name, this.source.systemId, this.trusted, this.signal);
      } catch (error) {
        lane.late = true;
        if (isResurgoError(error)) lane.problem = error;
      }
    }
  }

  private async tell(archiver: Archiver, sample: WalSample, slot: SlotState): Promise<void> {
    const lagBytes = Number(sample.lsn > archiver.stored ? sample.lsn - archiver.stored : 0n);
    const rpoMs = archiver.storedTime === undefined ? null : Math.max(0, sample.time - archiver.storedTime);
    const retained = slot.restartLsn === undefined ? null : Number(sample.lsn - slot.restartLsn);
    const share = retained === null || slot.safeBytes === undefined ? 0 : retained / Math.max(1, retained + slot.safeBytes);
    const problems = [
      ...this.problems,
      ...this.lanes.flatMap((lane) => (lane.problem === undefined ? [] : [`repository ${lane.store.name}${lane.required ? ' (required)' : ''} takes no WAL: ${lane.problem.message}`])),
      ...(slot.walStatus === 'lost' || slot.walStatus === 'unreserved' ? [`slot ${this.slot} is ${slot.walStatus === 'lost' ? 'lost' : 'about to be lost'}: the server holds no more WAL for it`] : []),
      ...(share > alarmShare ? [`slot ${this.slot} holds ${String(Math.round(share * 100))} % of the WAL that max_slot_wal_keep_size allows`] : []),
    ];
    const health: WalHealth = {
      at: new Date().toISOString(), target: this.settings.name, lineage: this.lineage, timeline: this.timeline, server: this.source.connection.redacted,
      flushLsn: formatLsn(sample.lsn), storedLsn: formatLsn(archiver.stored), storedTime: archiver.storedTime === undefined ? null : new Date(archiver.storedTime).toISOString(), rpoMs, lagBytes,
      slot: { name: this.slot, status: slot.walStatus ?? null, retainedBytes: retained, safeBytes: slot.safeBytes ?? null },
      repositories: this.lanes.map((lane) => ({ name: lane.store.name, required: lane.required, late: lane.late, problem: lane.problem?.message ?? null })),
      problems,
    };
    this.report({ phase: `WAL of timeline ${String(this.timeline)}`, note: `stored ${health.storedLsn}, ${String(Math.round(lagBytes / 1024))} KiB behind${rpoMs === null ? '' : `, ${(rpoMs / 1000).toFixed(1)} s`}${problems.length === 0 ? '' : `; ${problems.join('; ')}`}` });
    await writeHealth(this.deps.loaded.stateDir, health);
  }

  async close(): Promise<void> {
    this.stop.abort();
    await endClient(this.client);
  }
}

async function writeHealth(stateDir: string, health: WalHealth): Promise<void> {
  const path = walHealthPath(stateDir, health.target);
  try {
    await mkdir(join(stateDir, 'wal'), { recursive: true, mode: 0o700 });
    const temporary = `${path}.${String(process.pid)}.tmp`;
    await writeFile(temporary, `${JSON.stringify(health, null, 1)}\n`, { mode: 0o600 });
    await rename(temporary, path);
  } catch {
    // A full state directory must not stop the archive.
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

async function readHistory(session: ReplicationSession, timeline: number): Promise<string> {
  const [row] = await session.command(`TIMELINE_HISTORY ${String(timeline)}`);
  const content = row?.['content'];
  if (content == null) throw new ResurgoError('sourceUnreachable', `The server did not tell the history of timeline ${String(timeline)}.`);
  return content;
}

/** undefined_file: the segment was removed. */
const isGone = (error: unknown): boolean => (error as { code?: unknown } | undefined)?.code === '58P01' || ((error as Error | undefined)?.cause as { code?: unknown } | undefined)?.code === '58P01';
