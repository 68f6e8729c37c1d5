import { ResurgoError } from '../../domain/errors.ts';
import { dumpPhysical } from '../../providers/postgres/physical-dump.ts';
import { parseBackupManifest, checkManifestAgainstStreams } from '../../providers/postgres/backup-manifest.ts';
import { endEarlierSessions, sessionsOf } from '../../providers/postgres/own-sessions.ts';
import { sourceServer } from '../source-server.ts';
import { postgresSettings } from '../target-settings.ts';
import type { DumpContext, EngineDump } from './engine.ts';
import { parentIndex } from './parent-index.ts';

/** A base backup of the whole cluster, or what changed in it since the parent. */
export async function dumpPhysicalTarget(context: DumpContext): Promise<EngineDump> {
  const { plan, settings: target, writer, signal, report } = context;
  const settings = postgresSettings(target);
  const { connection, facts } = await sourceServer(settings, sessionsOf(plan.backup));
  if (facts.systemId !== plan.systemId) {
    throw new ResurgoError('sourceChanged', `the server at ${connection.redacted} is database system ${facts.systemId}; the run was prepared for ${plan.systemId}`);
  }
  await endEarlierSessions(connection, sessionsOf(plan.backup), signal);
  const incremental = plan.parent === null ? undefined : await parentOf(context);
  const dump = await dumpPhysical({
    connection,
    writer,
    label: `resurgo ${plan.backup}`,
    checkpoint: settings.config.checkpoint,
    ...(settings.config.maxRate === undefined ? {} : { maxRateKiB: Math.floor(settings.config.maxRate / 1024) }),
    ...(incremental === undefined ? {} : { incremental }),
    signal,
    onProgress: report,
  });
  const manifest = parseBackupManifest(dump.backupManifest);
  return {
    facts: dump.facts,
    counts: { databases: dump.facts.databases.length },
    wal: { startLsn: dump.facts.startLsn, stopLsn: dump.facts.stopLsn, timeline: dump.facts.timeline },
    serverVersion: dump.serverVersion,
    engineManifest: dump.backupManifest.toString('utf8'),
    checks: dump.checks,
    warnings: dump.warnings,
    check: (streams) => { checkManifestAgainstStreams(manifest, streams); },
  };
}

/** The parent's backup_manifest, from its index. @throws parentMissing, wrongKey */
async function parentOf(context: DumpContext): Promise<{ parentManifest: Buffer; parentChecksums?: boolean }> {
  const { engine, engineManifest } = await parentIndex(context, context.plan.parent as string);
  return { parentManifest: Buffer.from(engineManifest, 'utf8'), ...(engine.engine === 'physical' ? { parentChecksums: engine.dataChecksums } : {}) };
}
