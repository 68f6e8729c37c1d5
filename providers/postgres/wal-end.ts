import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseLsn, segmentFile } from '../../domain/lsn.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import { findPgTool } from './tools.ts';

/**
 * Where the WAL of a stopped server ends, from a position on: what it had written and nobody else may have. Read by pg_waldump, which checks every
 * record. Equal to `from` when nothing follows it.
 * @throws toolMissing, toolVersion, cancelled
 */
export async function walEnd(options: { readonly dataDir: string; readonly major: number; readonly timeline: number; readonly from: string; readonly toolDirs?: readonly string[]; readonly signal?: AbortSignal | undefined }): Promise<string> {
  // pg_waldump waits five seconds for a segment that is not there; where it would begin nothing follows.
  if (!(await hasSegment(join(options.dataDir, 'pg_wal'), options.timeline, options.from))) return options.from;
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

async function hasSegment(walDir: string, timeline: number, from: string): Promise<boolean> {
  const names = (await readdir(walDir)).filter((name) => /^[0-9A-F]{24}$/.test(name));
  const [any] = names;
  if (any === undefined) return false;
  const { size } = await stat(join(walDir, any));
  return names.includes(segmentFile(timeline, parseLsn(from), size));
}
