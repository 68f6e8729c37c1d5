import { existsSync } from 'node:fs';
import path from 'node:path';
import type { PostgresTargetConfig } from '../../config/schema.ts';
import { findLogicalTools } from '../../providers/postgres/find-logical-tools.ts';
import { findPgTool } from '../../providers/postgres/tools.ts';
import type { ServerFacts } from '../../providers/postgres/server-facts.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** Programs of PostgreSQL in the server's version, on the host that runs them. */
export async function checkPostgresPrograms(
  { host }: CheckScope,
  name: string,
  target: PostgresTargetConfig,
  facts: ServerFacts | undefined,
): Promise<Finding[]> {
  const tools = new Findings('tools', name);
  if (target.host !== undefined && target.host !== host) {
    tools.note(
      `its programs and hooks run on host ${target.host}; this is ${host}`,
      `Run \`resurgo check\` on ${target.host} too.`,
    );
    return tools.list;
  }
  const dirs = target.toolsDir === undefined ? [] : [target.toolsDir];
  if (target.toolsDir !== undefined && !existsSync(target.toolsDir))
    tools.fail(`toolsDir ${target.toolsDir} does not exist`, 'Correct toolsDir.', 'toolMissing');
  if (facts !== undefined && target.engine === 'logical') {
    try {
      const found = await findLogicalTools(dirs)(facts.major);
      const text = `pg_dump ${found.version} in ${path.dirname(found.pgDump)}`;
      if (found.major === facts.major) tools.ok(text);
      else
        tools.warn(
          `${text}, the server is ${facts.version}`,
          `Install the client programs of PostgreSQL ${facts.major}: a restore into ${facts.major} wants them.`,
        );
    } catch (error) {
      tools.error(error);
    }
  }
  if (facts !== undefined && target.engine === 'physical') {
    try {
      const found = await findPgTool('pg_controldata', facts.major, { dirs });
      tools.ok(`pg_controldata ${found.version} in ${path.dirname(found.path)}`);
    } catch (error) {
      // Backups do not need it; restores do, maybe on another host.
      tools.error(error, 'warn');
    }
  }
  return tools.list;
}
