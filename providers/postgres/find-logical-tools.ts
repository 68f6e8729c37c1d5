import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import { resolveTool } from '../host/tool-command.ts';
import type { LogicalTools, LogicalToolsFinder } from './logical-tools.ts';

/** Where distributions put PostgreSQL's programs, by major version. */
const packageDirectories = async (): Promise<string[]> => {
  const versions = await readdir('/usr/lib/postgresql').catch((): string[] => []);
  const others = await readdir('/usr').catch((): string[] => []);
  return [
    ...versions.map((version) => `/usr/lib/postgresql/${version}/bin`),
    ...others.filter((name) => /^pgsql-\d+$/.test(name)).map((name) => `/usr/${name}/bin`),
    '/usr/local/pgsql/bin',
  ];
};

/** The three programs of one directory; undefined when one is missing or does not run. */
const inspect = async (directory: string): Promise<LogicalTools | undefined> => {
  try {
    const [pgDump, pgDumpall, pgRestore] = ['pg_dump', 'pg_dumpall', 'pg_restore'].map((name) => resolveTool(join(directory, name))) as [string, string, string];
    const { stdout } = await runTool({ command: pgDump, args: ['--version'], timeoutMs: 15_000 });
    const version = /(\d+(?:\.\d+)?\S*)/.exec(stdout)?.[1];
    return version === undefined ? undefined : { pgDump, pgDumpall, pgRestore, version, major: Number.parseInt(version, 10) };
  } catch (error) {
    if (isResurgoError(error)) return undefined;
    throw error;
  }
};

/**
 * Looks in `directories` (when any are given, nowhere else), else in PATH and where packages put them. The server's own major version is
 * preferred: a newer pg_dump writes archives that the server's own pg_restore does not read.
 */
export const findLogicalTools = (directories: readonly string[] = []): LogicalToolsFinder => async (serverMajor) => {
  const places = [...directories];
  if (places.length === 0) {
    try {
      places.push(dirname(resolveTool('pg_dump')));
    } catch (error) {
      if (!isResurgoError(error, 'toolMissing')) throw error;
    }
    places.push(...(await packageDirectories()));
  }
  const found = (await Promise.all([...new Set(places)].map(inspect))).filter((tools) => tools !== undefined);
  const fit = found.filter((tools) => tools.major >= serverMajor).toSorted((a, b) => a.major - b.major)[0];
  if (fit !== undefined) return fit;
  const hint = `Install the client programs of PostgreSQL ${String(serverMajor)}, or set toolsDir to where they are.`;
  if (found.length === 0) throw new ResurgoError('toolMissing', `pg_dump, pg_dumpall and pg_restore were not found in ${places.join(', ') || 'PATH'}`, { details: { hint } });
  throw new ResurgoError('toolVersion', `The server is PostgreSQL ${String(serverMajor)}, the newest pg_dump found is ${found.map((tools) => `${tools.version} (${dirname(tools.pgDump)})`).join(', ')}`, { details: { hint } });
};
