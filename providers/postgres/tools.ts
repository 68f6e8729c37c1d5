import { existsSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';

export interface PgTool {
  readonly path: string;
  /** `18.4` */
  readonly version: string;
  readonly major: number;
}

export interface FindOptions {
  /** Looked at first, in order: `toolsDir` of the configuration, `.tools/postgres/<major>/bin` … */
  readonly dirs?: readonly string[];
}

const cache = new Map<string, Promise<PgTool>>();

function candidates(name: string, major: number | undefined, dirs: readonly string[]): string[] {
  const majors = major === undefined ? [19, 18, 17, 16, 15] : [major];
  const system = majors.flatMap((m) => [
    `/usr/lib/postgresql/${m}/bin`,
    `/usr/pgsql-${m}/bin`,
    `/opt/homebrew/opt/postgresql@${m}/bin`,
  ]);
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  return [...new Set([...dirs, ...system, ...path])].map((dir) => join(dir, name)).filter((file) => existsSync(file));
}

async function inspect(path: string): Promise<PgTool> {
  const { stdout } = await runTool({ command: path, args: ['--version'], timeoutMs: 10_000 });
  const version = /\(PostgreSQL\) (\d+(?:\.\d+|[a-z]+\d*)?)/.exec(stdout)?.[1];
  if (version === undefined)
    throw new ResurgoError(
      'toolVersion',
      `${path} --version says ${JSON.stringify(stdout.slice(0, 100))}, which is no PostgreSQL version.`,
    );
  return { path, version, major: Number.parseInt(version, 10) };
}

const packageOf = (name: string, major: number | undefined): string =>
  ['psql', 'pg_dump', 'pg_dumpall', 'pg_restore', 'pg_basebackup', 'pg_receivewal'].includes(name)
    ? `postgresql-client-${major ?? 18}`
    : `postgresql-${major ?? 18}`;

/**
 * Finds a program of PostgreSQL, of exactly this major version when one is given: directories given, the places packages use, PATH.
 * @throws toolMissing, toolVersion with what to install
 */
export async function findPgTool(name: string, major?: number, options: FindOptions = {}): Promise<PgTool> {
  const others: string[] = [];
  for (const path of candidates(name, major, options.dirs ?? [])) {
    let found = cache.get(path);
    if (!found) {
      found = inspect(path);
      cache.set(path, found);
      found.catch(() => cache.delete(path));
    }
    const tool = await found.catch((error: unknown) => {
      others.push(`${path}: ${(error as Error).message.split('\n')[0]}`);
      return undefined;
    });
    if (tool && (major === undefined || tool.major === major)) return tool;
    if (tool) others.push(`${path} is ${tool.version}`);
  }
  const hint = `Install the package ${packageOf(name, major)}, or set toolsDir to the programs of PostgreSQL ${major ?? "of the server's version"}.`;
  const wanted = `${name}${major === undefined ? '' : ` of PostgreSQL ${major}`}`;
  if (others.length > 0)
    throw new ResurgoError('toolVersion', `${wanted} was not found; there is ${others.join('; ')}.`, {
      details: { hint },
    });
  throw new ResurgoError('toolMissing', `${wanted} was not found.`, { details: { hint } });
}
