import { rowsStream } from '../../domain/archive.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { dumpRows } from '../../providers/archive/dump-rows.ts';
import { endEarlierSessions, sessionsOf } from '../../providers/postgres/own-sessions.ts';
import { archiveSettings, archiveSource } from '../archive/settings.ts';
import type { EngineDefinition } from './engine.ts';
import type { RestoreEngine } from './restore-engine.ts';

const notSo = (what: string): never => {
  throw new ResurgoError('unsupported', `an archive cannot be ${what} like a backup`, { details: { hint: '`resurgo archive TARGET` writes it, `resurgo archive fetch TARGET` reads it.' } });
};

/** One set of archived rows (B14): sealed, stored and read back as a backup is, under the archive's own name. */
export const archiveEngine: EngineDefinition = {
  name: 'archive',
  prepare: async () => notSo('taken'),
  async dump({ deps, plan, writer, signal, report }) {
    const { archive } = plan;
    if (archive === undefined) return notSo('taken');
    const settings = archiveSettings(deps, plan.target, plan.configHash);
    const { connection } = await archiveSource(settings, sessionsOf(plan.backup));
    await endEarlierSessions(connection, sessionsOf(plan.backup), signal);
    const { facts, keys } = await dumpRows({ connection, step: archive, writer, signal, onProgress: report });
    return {
      facts,
      counts: { rows: facts.rows },
      serverVersion: facts.serverVersion,
      engineManifest: keys,
      checks: ['row count of the server'],
      warnings: [],
      check: (streams) => {
        const bytes = streams.find(({ name }) => name === rowsStream)?.bytes;
        if (bytes !== facts.bytes) throw new ResurgoError('contentMismatch', `${String(bytes ?? 0)} bytes of rows were sealed, ${String(facts.bytes)} were read`);
      },
    };
  },
  restore: (): RestoreEngine => ({ inspect: async () => notSo('restored'), build: async () => notSo('restored'), verify: async () => notSo('restored'), swapIn: async () => notSo('restored'), swapBack: async () => notSo('restored'), settle: async () => notSo('restored'), discard: async () => notSo('restored'), health: async () => notSo('restored'), keeps: async () => false, confirm: async () => notSo('restored'), rollback: async () => notSo('restored') }),
};
