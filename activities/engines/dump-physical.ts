import { ResurgoError } from '../../domain/errors.ts';
import { dumpPhysical } from '../../providers/postgres/physical-dump.ts';
import { parseBackupManifest, checkManifestAgainstStreams } from '../../providers/postgres/backup-manifest.ts';
import { endEarlierSessions, sessionsOf } from '../../providers/postgres/own-sessions.ts';
import { findBackup } from '../../providers/repository/catalogue.ts';
import { openBackup } from '../../providers/vault/open.ts';
import { sourceServer } from '../source-server.ts';
import { postgresSettings } from '../target-settings.ts';
import type { DumpContext, EngineDump } from './engine.ts';

/** A base backup of the whole cluster, or what changed in it since the parent. */
export async function dumpPhysicalTarget({ deps, plan, settings: target, writer, signal, report }: DumpContext): Promise<EngineDump> {
  const settings = postgresSettings(target);
  const { connection, facts } = await sourceServer(settings, sessionsOf(plan.backup));
  if (facts.systemId !== plan.systemId) {
    throw new ResurgoError('sourceChanged', `the server at ${connection.redacted} is database system ${facts.systemId}; the run was prepared for ${plan.systemId}`);
  }
  await endEarlierSessions(connection, sessionsOf(plan.backup), signal);
  const incremental = plan.parent === null ? undefined : await parentOf({ deps, plan });
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

/** The parent's backup_manifest, from its index: the host's metadata key is enough. @throws parentMissing, wrongKey */
async function parentOf({ deps, plan }: Pick<DumpContext, 'deps' | 'plan'>): Promise<{ parentManifest: Buffer; parentChecksums?: boolean }> {
  const parent = plan.parent as string;
  let problem: unknown;
  for (const name of plan.repositories) {
    try {
      const store = await deps.stores.open(name);
      const ref = await findBackup(store, parent, plan.target);
      const reader = await openBackup({ stores: [store], ref, credentials: await deps.keys.hostCredentials(), trusted: await deps.keys.trusted() });
      if (reader.index.engineManifest === undefined) throw new ResurgoError('parentMissing', `backup ${parent} holds no backup_manifest`);
      const { engine, engineManifest } = reader.index;
      return { parentManifest: Buffer.from(engineManifest, 'utf8'), ...(engine.engine === 'physical' ? { parentChecksums: engine.dataChecksums } : {}) };
    } catch (error) {
      problem ??= error;
    }
  }
  throw problem;
}
