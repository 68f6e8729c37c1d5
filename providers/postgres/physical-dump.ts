import type { PhysicalFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import { parseBackupManifest } from './backup-manifest.ts';
import type { BackupManifest } from './backup-manifest.ts';
import { baseBackupCommand } from './base-backup-command.ts';
import { BaseBackupReceiver } from './base-backup-receiver.ts';
import type { PostgresConnection } from './connection.ts';
import { mapIncrementalError } from './incremental-errors.ts';
import { mapPostgresError } from './postgres-error.ts';
import { ReplicationSession } from './replication-session.ts';
import type { Row } from './replication-session.ts';
import { serverFacts } from './server-facts.ts';
import type { ServerFacts } from './server-facts.ts';

export interface PhysicalDumpOptions {
  readonly connection: PostgresConnection;
  readonly writer: BackupWriter;
  /** Take what changed since the backup with this `backup_manifest` (PostgreSQL 17+). */
  readonly incremental?: {
    readonly parentManifest: Buffer;
    /** Whether the parent's cluster had page checksums: a chain in which they were switched on cannot be restored. */
    readonly parentChecksums?: boolean;
  };
  readonly checkpoint: 'fast' | 'spread';
  readonly maxRateKiB?: number;
  /** Shown in the server's log and in backup_label. */
  readonly label: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress;
  /** Gives up when the server sends nothing for so long once data flows. Milliseconds, default 15 minutes. */
  readonly idleTimeoutMs?: number;
}

export interface PhysicalDump {
  readonly facts: PhysicalFacts;
  /** The bytes of PostgreSQL's `backup_manifest`, which were also written as a stream of that name. */
  readonly backupManifest: Buffer;
  readonly manifest: BackupManifest;
  readonly serverVersion: string;
  /** In words, for the backup's manifest. */
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
  /** Files the manifest lists. */
  readonly files: number;
}

const defaultIdleTimeoutMs = 15 * 60_000;

function assertPossible(options: PhysicalDumpOptions, facts: ServerFacts): void {
  const { connection, incremental } = options;
  if (facts.major < 15)
    throw new ResurgoError(
      'sourceVersion',
      `${connection.redacted} is PostgreSQL ${facts.version}; physical backups need 15 or later.`,
      { details: { hint: 'Use engine: logical, or upgrade.' } },
    );
  if (!facts.canReplicate) {
    throw new ResurgoError('sourceDenied', `The role ${facts.role} at ${connection.redacted} may not replicate.`, {
      details: {
        hint: `ALTER ROLE "${facts.role}" REPLICATION; and allow it for database "replication" in pg_hba.conf.`,
      },
    });
  }
  if (!incremental) return;
  if (facts.major < 17)
    throw new ResurgoError(
      'sourceVersion',
      `${connection.redacted} is PostgreSQL ${facts.version}; incremental backups need 17 or later.`,
    );
  if (!facts.summarizeWal)
    throw new ResurgoError(
      'walSummaryMissing',
      `summarize_wal is off at ${connection.redacted}, so it does not know what changed since the parent backup.`,
    );
  if (incremental.parentChecksums !== undefined && incremental.parentChecksums !== facts.dataChecksums) {
    throw new ResurgoError(
      'sourceChanged',
      `Page checksums were switched ${facts.dataChecksums ? 'on' : 'off'} at ${connection.redacted} since the parent backup.`,
    );
  }
  const parent = parseBackupManifest(incremental.parentManifest);
  if (parent.systemId !== undefined && parent.systemId !== facts.systemId) {
    throw new ResurgoError(
      'sourceChanged',
      `The parent backup is of database system ${parent.systemId}; ${connection.redacted} is ${facts.systemId}.`,
    );
  }
}

/** Keeps the WAL that the backup needs while it runs; gone with the session. Without a free slot the server may recycle it, and then says so. */
async function reserveWal(session: ReplicationSession, warnings: string[]): Promise<void> {
  const name = `resurgo_${process.pid}_${Date.now().toString(36)}`;
  try {
    await session.command(`CREATE_REPLICATION_SLOT "${name}" TEMPORARY PHYSICAL (RESERVE_WAL true)`);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    // 53400: all slots are taken; 55000: the server has none at all.
    if (code !== '53400' && code !== '55000' && code !== '42501') throw error;
    warnings.push(`No replication slot could hold the WAL during the backup: ${(error as Error).message}`);
  }
}

/**
 * Takes a base backup over the replication protocol into the writer: one tar stream per tablespace (`base.tar`, `<oid>.tar`), with the
 * WAL that makes it consistent, then `backup_manifest`. Nothing of the server's disk is used, nothing is left on it.
 * @throws sourceUnreachable, sourceDenied, sourceVersion, sourceChanged, walSummaryMissing, noParent, parentMissing, pageChecksum, dumpFailed, dumpEmpty, contentMismatch, cancelled
 */
export async function dumpPhysical(options: PhysicalDumpOptions): Promise<PhysicalDump> {
  const { connection, signal, incremental } = options;
  const facts = await serverFacts(connection, signal);
  assertPossible(options, facts);
  const warnings: string[] = [];
  const damaged: string[] = [];
  const receiver = new BaseBackupReceiver(options.writer, options.onProgress);
  const session = await ReplicationSession.open(connection, signal);
  const sets: Row[][] = [[], [], []];
  try {
    const [identity] = await session.command('IDENTIFY_SYSTEM');
    if (identity?.['systemid'] !== facts.systemId)
      throw new ResurgoError(
        'sourceChanged',
        `Another server (system ${identity?.['systemid']}) answers replication at ${connection.redacted} than SQL (system ${facts.systemId}).`,
      );
    await reserveWal(session, warnings);
    if (incremental) await session.command('UPLOAD_MANIFEST', { copyIn: incremental.parentManifest });
    options.onProgress?.({ phase: 'dump', doneBytes: 0, note: 'waiting for the checkpoint' });
    const command = baseBackupCommand({
      label: options.label,
      checkpoint: options.checkpoint,
      incremental: incremental !== undefined,
      ...(options.maxRateKiB === undefined ? {} : { maxRateKiB: options.maxRateKiB }),
    });
    await session.command(command, {
      idleTimeoutMs: options.idleTimeoutMs ?? defaultIdleTimeoutMs,
      onRow: (row, set) => {
        sets[set]?.push(row);
        if (set === 1) receiver.totalBytes = (receiver.totalBytes ?? 0) + Number(row['size'] ?? 0) * 1024;
      },
      onCopyData: receiver.copyData,
      onNotice: (notice) => {
        if (notice.C === 'XX001' || /checksum verification failed/.test(notice.M ?? '')) damaged.push(notice.M ?? '');
        else if (notice.V === 'WARNING' || notice.S === 'WARNING') warnings.push(`server: ${notice.M}`);
      },
    });
    const backupManifest = await receiver.finish();
    if (damaged.length > 0) throw pageChecksum(connection, damaged);
    await session.close();
    return describe(facts, receiver, backupManifest, sets, warnings);
  } catch (error) {
    session.destroy();
    if ((error as { code?: unknown }).code === 'XX001' || damaged.length > 0)
      throw pageChecksum(connection, damaged, error);
    if (incremental && receiver.bytes === 0) throw mapIncrementalError(error, connection);
    throw mapPostgresError(error, 'taking the base backup', connection);
  }
}

const pageChecksum = (connection: PostgresConnection, damaged: readonly string[], cause?: unknown): ResurgoError =>
  new ResurgoError(
    'pageChecksum',
    `The server at ${connection.redacted} found damaged pages while it was read: ${damaged.slice(0, 5).join('; ') || String((cause as Error | undefined)?.message)}${damaged.length > 5 ? ` and ${damaged.length - 5} more` : ''}.`,
    {
      cause,
      details: { damaged: damaged.slice(0, 100) },
    },
  );

function describe(
  server: ServerFacts,
  receiver: BaseBackupReceiver,
  backupManifest: Buffer,
  sets: readonly Row[][],
  warnings: readonly string[],
): PhysicalDump {
  const manifest = parseBackupManifest(backupManifest);
  if (manifest.files.size === 0) throw new ResurgoError('dumpEmpty', 'The backup manifest lists no file.');
  if (manifest.systemId !== undefined && manifest.systemId !== server.systemId)
    throw new ResurgoError(
      'sourceChanged',
      `The backup is of database system ${manifest.systemId}, not ${server.systemId}.`,
    );
  const start = sets[0]?.[0];
  const stop = sets[2]?.[0];
  if (!start?.['recptr'] || !stop?.['recptr'])
    throw new ResurgoError('dumpFailed', 'The server did not say where the backup begins and ends in the WAL.');
  return {
    facts: {
      engine: 'physical',
      startLsn: start['recptr'],
      stopLsn: stop['recptr'],
      timeline: Number(stop['tli'] ?? start['tli']),
      tablespaces: receiver.tablespaces,
      dataChecksums: server.dataChecksums,
      blockSize: server.blockSize,
      walSegmentBytes: server.walSegmentBytes,
      fromStandby: server.inRecovery,
      databases: server.databases.map(({ name, bytes }) => ({ name, bytes: bytes ?? 0 })),
    },
    backupManifest,
    manifest,
    serverVersion: server.version,
    checks: ['backup_manifest', ...(server.dataChecksums ? ['page-checksums'] : [])],
    warnings,
    files: manifest.files.size,
  };
}
