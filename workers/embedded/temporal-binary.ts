import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ResurgoError } from '../../domain/errors.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';

/** The Temporal CLI: `TEMPORAL_CLI_PATH`, else PATH, else what `npm run setup` fetched. @throws toolMissing */
export function temporalBinary(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['TEMPORAL_CLI_PATH'];
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named;
    throw new ResurgoError('toolMissing', `TEMPORAL_CLI_PATH names ${named}, which does not exist`);
  }
  try {
    return resolveTool('temporal', env['PATH']);
  } catch {
    const fetched = fetchedTool('temporal');
    if (fetched !== undefined) return fetched;
    throw new ResurgoError('toolMissing', 'the Temporal CLI is not on PATH, and TEMPORAL_CLI_PATH is not set', {
      details: { hint: 'Install it (https://docs.temporal.io/cli), run `npm run setup` in a checkout, or use an existing Temporal with `resurgo worker`.' },
    });
  }
}

function fetchedTool(name: string): string | undefined {
  try {
    const record = JSON.parse(readFileSync(fileURLToPath(new URL('../../.tools/env.json', import.meta.url)), 'utf8')) as Record<string, unknown>;
    const path = record[name];
    return typeof path === 'string' && existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}
