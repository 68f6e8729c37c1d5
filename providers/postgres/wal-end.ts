import { join } from 'node:path';
import { isResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import { findPgTool } from './tools.ts';

/**
 * Where the WAL of a stopped server ends, from a position on: what it had written and nobody else may have. Read by pg_waldump, which checks every
 * record. Equal to `from` when nothing follows it.
 * @throws toolMissing, toolVersion, cancelled
 */
export async function walEnd(options: { readonly dataDir: string; readonly major: number; readonly timeline: number; readonly from: string; readonly toolDirs?: readonly string[]; readonly signal?: AbortSignal | undefined }): Promise<string> {
  const tool = await findPgTool('pg_waldump', options.major, { dirs: options.toolDirs ?? [] });
  try {
    const { stdout } = await runTool({
      command: tool.path,
      args: ['--path', join(options.dataDir, 'pg_wal'), '--timeline', String(options.timeline), '--start', options.from, '--stats'],
      okExitCodes: [0, 1], timeoutMs: 10 * 60_000, signal: options.signal,
    });
    return /^WAL statistics between \S+ and ([0-9A-F]+\/[0-9A-F]+):/m.exec(stdout)?.[1] ?? options.from;
  } catch (error) {
    if (!isResurgoError(error, 'toolFailed')) throw error;
    return options.from;
  }
}
