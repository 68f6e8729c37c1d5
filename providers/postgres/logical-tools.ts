import { ResurgoError } from '../../domain/errors.ts';

/** The client programs the logical engine runs. */
export interface LogicalTools {
  readonly pgDump: string;
  readonly pgDumpall: string;
  readonly pgRestore: string;
  /** Major version of all three. */
  readonly major: number;
  /** For example `18.4`. */
  readonly version: string;
}

/** Finds programs for a server of this major version: the same major where there is one, else the next newer. */
export type LogicalToolsFinder = (serverMajor: number) => Promise<LogicalTools>;

/** Major version of a server version such as `18.4` or `15.18 (Debian …)`. */
export const majorOf = (version: string): number => Number.parseInt(version, 10);

/** @throws toolVersion when the tools are older than the server */
export const assertToolsFit = (tools: LogicalTools, serverVersion: string, program: string): void => {
  const server = majorOf(serverVersion);
  if (tools.major < server) {
    throw new ResurgoError(
      'toolVersion',
      `${program} is of PostgreSQL ${tools.version}, the server is ${serverVersion}: older tools refuse newer servers`,
      {
        details: {
          hint: `Install the client programs of PostgreSQL ${String(server)}, or set toolsDir to where they are.`,
        },
      },
    );
  }
};

/** @throws toolVersion, toolMissing */
export const toolsFor = async (
  tools: LogicalTools | LogicalToolsFinder,
  serverVersion: string,
): Promise<LogicalTools> => {
  const found = typeof tools === 'function' ? await tools(majorOf(serverVersion)) : tools;
  assertToolsFit(found, serverVersion, found.pgDump);
  return found;
};

/**
 * Connection string for `--dbname` and kin, which would read a plain name with `=` or `://` in it as one anyway. A server that vanished without
 * a word is noticed in two minutes instead of two hours.
 */
export const databaseArgument = (name: string): string =>
  `dbname='${name.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}' keepalives_idle=60 keepalives_interval=10 keepalives_count=6`;
