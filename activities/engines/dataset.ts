import { ResurgoError } from '../../domain/errors.ts';
import { dumpSets } from '../../providers/dataset/dump-sets.ts';
import { endEarlierSessions, sessionsOf } from '../../providers/postgres/own-sessions.ts';
import { serverFacts } from '../../providers/postgres/server-facts.ts';
import { settingsOf } from '../target-settings.ts';
import { datasetConnection, setDefinitions } from './dataset-settings.ts';
import type { EngineDefinition } from './engine.ts';
import { datasetRestoreEngine } from './restore-dataset.ts';

/** Named groups of tables and queries, read in one snapshot (B6). */
export const datasetEngine: EngineDefinition = {
  name: 'dataset',
  async prepare({ settings }) {
    const facts = await serverFacts(datasetConnection(settingsOf(settings, 'dataset')));
    return { systemId: facts.systemId, warnings: [] };
  },
  async dump({ plan, settings, writer, signal, report }) {
    const dataset = settingsOf(settings, 'dataset');
    const connection = datasetConnection(dataset, sessionsOf(plan.backup));
    await endEarlierSessions(connection, sessionsOf(plan.backup), signal);
    const facts = await dumpSets({ connection, sets: setDefinitions(dataset.config), writer, signal, onProgress: report });
    const members = facts.sets.flatMap((set) => set.members);
    return {
      facts,
      counts: { tables: members.length, rows: members.reduce((sum, member) => sum + member.rows, 0), sets: Object.fromEntries(facts.sets.map((set) => [set.name, set.members.reduce((sum, member) => sum + member.rows, 0)])) },
      serverVersion: facts.serverVersion,
      checks: ['one snapshot', 'row counts of the server'],
      warnings: [],
      check: (streams) => {
        for (const member of members) {
          const stream = streams.find(({ name }) => name === member.stream);
          if (stream?.bytes !== member.bytes) throw new ResurgoError('contentMismatch', `${member.name}: ${String(stream?.bytes ?? 0)} bytes were sealed, ${String(member.bytes)} were read`);
        }
      },
    };
  },
  restore: (deps, settings) => datasetRestoreEngine(deps, settingsOf(settings, 'dataset')),
};
