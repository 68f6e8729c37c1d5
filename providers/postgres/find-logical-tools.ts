import { isResurgoError } from '../../domain/errors.ts';
import type { LogicalToolsFinder } from './logical-tools.ts';
import { findPgTool } from './tools.ts';

/** Majors above the server's that are tried: a newer pg_dump reads older servers. */
const newest = 20;

/**
 * Finds pg_dump, pg_dumpall and pg_restore of one major version. The server's own is preferred: archives of a newer pg_dump are not
 * read by the server's own pg_restore, and what a newer pg_restore sets is not known to an older server.
 * @param directories looked at first
 */
export const findLogicalTools =
  (directories: readonly string[] = []): LogicalToolsFinder =>
  async (serverMajor) => {
    let problem: unknown;
    for (let major = serverMajor; major <= Math.max(newest, serverMajor); major++) {
      try {
        const dirs = { dirs: directories };
        const dump = await findPgTool('pg_dump', major, dirs);
        const [dumpall, restore] = await Promise.all([
          findPgTool('pg_dumpall', major, dirs),
          findPgTool('pg_restore', major, dirs),
        ]);
        return { pgDump: dump.path, pgDumpall: dumpall.path, pgRestore: restore.path, major, version: dump.version };
      } catch (error) {
        if (!isResurgoError(error, 'toolMissing') && !isResurgoError(error, 'toolVersion')) throw error;
        problem ??= error; // What is said about the server's own version is of most use.
      }
    }
    throw problem;
  };
