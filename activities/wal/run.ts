/** One run of the WAL archive of a target: what its parts share. */
import { createHash } from 'node:crypto';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { walRepositories } from '../../config/lookup.ts';
import { openClient, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { endClient, type PgClient } from '../../providers/postgres/postgres-client.ts';
import type { ReplicationSession } from '../../providers/postgres/replication-session.ts';
import type { ServerPosition } from '../../providers/wal/position.ts';
import { RepositoryLane } from '../../providers/wal/repository-lane.ts';
import { WalSealer } from '../../providers/wal/sealer.ts';
import { slotName } from '../../providers/wal/slots.ts';
import type { ActivityDeps } from '../deps.ts';
import { currentContext } from '../failure-mapping.ts';
import type { Pulse } from '../heartbeat.ts';
import { sourceServer } from '../source-server.ts';
import type { PostgresSettings } from '../target-settings.ts';

const mostBlockBytes = 16 * 1024 * 1024;

/** The primary as it was found at the beginning. */
export interface WalSource {
  readonly connection: PostgresConnection;
  readonly systemId: string;
  readonly segmentBytes: number;
  readonly version: string;
}

export interface WalRun {
  readonly deps: ActivityDeps;
  readonly settings: PostgresSettings;
  readonly source: WalSource;
  readonly client: PgClient;
  readonly sealer: WalSealer;
  readonly trusted: readonly string[];
  readonly signal: AbortSignal;
  readonly report: Pulse['report'];
  readonly slot: string;
  readonly blockBytes: number;
  readonly lanes: RepositoryLane[];
  /** For people, beside what is seen at the moment. */
  readonly problems: string[];
  lineage: string;
  timeline: number;
  /** Present in every required repository; where the stream goes on. */
  stored: bigint;
  close(): Promise<void>;
}

/** @throws sourceUnreachable when no primary answers, repositoryUnreachable when a required repository does not */
export async function openRun(deps: ActivityDeps, settings: PostgresSettings, { signal, report }: Pulse): Promise<WalRun> {
  const { connection, facts } = await sourceServer({ ...settings, config: { ...settings.config, backupFrom: 'primary' } }, 'resurgo-wal');
  if (facts.inRecovery) throw new ResurgoError('sourceUnreachable', `the only server of ${settings.name} that answers (${connection.redacted}) is a standby; WAL is archived from the primary`);
  if (!facts.canReplicate) throw new ResurgoError('sourceDenied', `The role ${facts.role} at ${connection.redacted} may not replicate.`, { details: { hint: `ALTER ROLE "${facts.role}" REPLICATION; and allow it for database "replication" in pg_hba.conf.` } });
  const sealer = new WalSealer({
    hostKey: await deps.keys.hostKey(), audience: () => deps.keys.audience(), onNewAudience: ({ recipients }) => { sayNewKey(settings.name, recipients); },
    compression: settings.compression, level: settings.compressionLevel ?? 1,
  });
  const trusted = await deps.keys.trusted();
  const client = await openClient(connection, { signal });
  const stop = new AbortController();
  const run: WalRun = {
    deps, settings, client, sealer, trusted, report,
    source: { connection, systemId: facts.systemId, segmentBytes: facts.walSegmentBytes, version: facts.version },
    signal: AbortSignal.any([signal, stop.signal]), slot: slotName(settings.name), blockBytes: Math.min(facts.walSegmentBytes, mostBlockBytes),
    lanes: [], problems: [], lineage: '', timeline: 0, stored: 0n,
    close: async () => {
      stop.abort();
      await endClient(client);
    },
  };
  try {
    await openLanes(run);
    return run;
  } catch (error) {
    await run.close();
    throw error;
  }
}

/** In the worker's log: who looks into a stolen key later sees from when on it opens no WAL any more. */
function sayNewKey(target: string, recipients: readonly string[] = []): void {
  currentContext()?.log.warn(`WAL of ${target} is sealed under a new data key from here on: who can open it has changed${recipients.length === 0 ? '' : `, to ${recipients.join(', ')}`}`);
}

async function openLanes(run: WalRun): Promise<void> {
  for (const { name, required } of walRepositories(run.deps.loaded.config, run.settings.name)) {
    try {
      const store = await run.deps.stores.open(name, { create: true });
      run.lanes.push(new RepositoryLane({ store, required, sealer: run.sealer, signal: run.signal }));
    } catch (error) {
      if (required || !isResurgoError(error)) throw error;
      run.problems.push(`repository ${name} is left behind: ${error.message}`);
    }
  }
}

export const requiredLanes = (run: WalRun): RepositoryLane[] => run.lanes.filter((lane) => lane.required);

export const blockOf = (run: WalRun, lsn: bigint): bigint => lsn - (lsn % BigInt(run.blockBytes));

export const segmentOf = (run: WalRun, lsn: bigint): bigint => lsn - (lsn % BigInt(run.source.segmentBytes));

/** @throws sourceChanged */
export async function serverPosition(run: WalRun, session: ReplicationSession): Promise<ServerPosition> {
  const [identity] = await session.command('IDENTIFY_SYSTEM');
  if (identity?.['systemid'] !== run.source.systemId) throw new ResurgoError('sourceChanged', `Another server (system ${identity?.['systemid'] ?? '?'}) answers replication at ${run.source.connection.redacted} than SQL (system ${run.source.systemId}).`);
  const timeline = Number(identity['timeline']);
  const history = timeline > 1 ? await readHistory(session, timeline) : undefined;
  return { timeline, flushLsn: parseLsn(identity['xlogpos'] ?? '0/0'), history, historySha256: history === undefined ? undefined : sha256(history) };
}

export async function readHistory(session: ReplicationSession, timeline: number): Promise<string> {
  const [row] = await session.command(`TIMELINE_HISTORY ${String(timeline)}`);
  const content = row?.['content'];
  if (content == null) throw new ResurgoError('sourceUnreachable', `The server did not tell the history of timeline ${String(timeline)}.`);
  return content;
}

export const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');
