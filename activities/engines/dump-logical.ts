import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dumpLogical } from '../../providers/postgres/logical-dump.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import { endEarlierSessions, sessionsOf } from '../../providers/postgres/own-sessions.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { sourceServer } from '../source-server.ts';
import { postgresSettings } from '../target-settings.ts';
import { stagingPath } from '../staging.ts';
import type { DumpContext, EngineDump } from './engine.ts';

/** One database by pg_dump, with the cluster's globals. */
export async function dumpLogicalTarget({ deps, plan, settings: target, writer, signal, report, oneJob = false }: DumpContext): Promise<EngineDump> {
  const settings = postgresSettings(target);
  const { connection, facts } = await sourceServer(settings, sessionsOf(plan.backup));
  await endEarlierSessions(connection, sessionsOf(plan.backup), signal);
  const staging = stagingPath(deps, plan.target, plan.backup);
  // An earlier attempt's staging may be there; pg_dump needs an empty one.
  await rm(staging, { recursive: true, force: true });
  try {
    const only = settings.config.only;
    const dump = await dumpLogical({
      connection,
      database: connection.database,
      writer,
      staging,
      jobs: oneJob ? 1 : (settings.config.jobs ?? Math.min(4, availableParallelism())),
      ...(only === undefined ? {} : { only: { ...(only.schemas === undefined ? {} : { schemas: only.schemas }), ...(only.tables === undefined ? {} : { tables: only.tables }) } }),
      tools: findLogicalTools(settings.toolsDirs),
      signal,
      onProgress: report,
    });
    return {
      facts: dump.facts,
      counts: { tables: dump.facts.tables.length, rows: dump.facts.tables.reduce((sum, table) => sum + table.rows, 0) },
      serverVersion: facts.version,
      checks: dump.checks,
      warnings: oneJob ? [...dump.warnings, 'Dumped by one worker: in an earlier attempt another session waited to change a table, and a second worker could not lock it.'] : dump.warnings,
      check: (streams) => {
        if (!streams.some((stream) => stream.name.startsWith('dump.') && stream.bytes > 0)) throw new ResurgoError('dumpEmpty', `pg_dump of ${plan.target} wrote nothing`);
      },
    };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
