import { ResurgoError } from '../../domain/errors.ts';
import { PhysicalContentCheck } from '../../providers/postgres/physical-content-check.ts';
import { cannotBuildOn, summaryFacts } from '../../providers/postgres/parent-check.ts';
import { sourceServer } from '../source-server.ts';
import { postgresSettings } from '../target-settings.ts';
import { dumpPhysicalTarget } from './dump-physical.ts';
import type { EngineDefinition } from './engine.ts';
import { physicalRestoreEngine } from './restore-physical.ts';

/** A whole PostgreSQL cluster by base backups, with what changed since a parent from PostgreSQL 17 on. */
export const physicalEngine: EngineDefinition = {
  name: 'physical',
  async prepare({ settings, kind }) {
    const { connection, facts } = await sourceServer(postgresSettings(settings));
    if (kind !== 'full' && facts.major < 17) {
      throw new ResurgoError('sourceVersion', `a ${kind} backup of ${settings.name} needs PostgreSQL 17 or later; the server at ${connection.redacted} is ${facts.version}`);
    }
    if (kind !== 'full' && !facts.summarizeWal) {
      throw new ResurgoError('walSummaryMissing', `a ${kind} backup of ${settings.name} needs WAL summaries, and summarize_wal is off on ${connection.redacted}`);
    }
    if (kind === 'full') return { systemId: facts.systemId, warnings: [] };
    const summaries = await summaryFacts(connection);
    return { systemId: facts.systemId, warnings: [], refusesParent: ({ wal }) => (wal === undefined ? undefined : cannotBuildOn(summaries, wal)) };
  },
  dump: dumpPhysicalTarget,
  restore: (deps, settings) => physicalRestoreEngine(deps, postgresSettings(settings)),
  // Every file against PostgreSQL's backup_manifest, as pg_verifybackup does.
  contentCheck: ({ index }) => new PhysicalContentCheck(index),
};
