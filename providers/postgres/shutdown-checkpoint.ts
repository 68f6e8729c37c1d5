import { runTool } from '../host/child.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { majorOf } from './server-control.ts';
import { findPgTool } from './tools.ts';

/** Where the last checkpoint record of a stopped server begins: after a clean shutdown nothing but it follows. @throws toolMissing, contentMismatch */
export async function checkpointOf(dataDir: string, toolDirs: readonly string[]): Promise<string> {
  const tool = await findPgTool('pg_controldata', await majorOf(dataDir), { dirs: toolDirs });
  const { stdout } = await runTool({ command: tool.path, args: ['-D', dataDir] });
  const lsn = /^Latest checkpoint location:\s*([0-9A-F]+\/[0-9A-F]+)/m.exec(stdout)?.[1];
  if (lsn === undefined) throw new ResurgoError('contentMismatch', `pg_controldata says nothing of the last checkpoint of ${dataDir}`);
  return lsn;
}
