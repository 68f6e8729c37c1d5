import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { ResurgoError } from '../../domain/errors.ts';
import type { BackupWriter } from '../../domain/ports.ts';
import { runTool } from '../host/child.ts';
import { CustomStream } from './custom-stream.ts';
import { hasListed, listDump, tableFacts, type CheckedDump } from './dump-check.ts';
import type { DatabaseFacts } from './logical-facts.ts';
import type { LogicalTools } from './logical-tools.ts';

/**
 * Dumps in custom format through a pipe into the blob `dump.pgdump`: one worker, no staging. For when staging has no room.
 * @throws dumpFailed, dumpEmpty, toolFailed
 */
export const dumpThroughPipe = async (options: {
  writer: BackupWriter;
  args: readonly string[];
  tools: LogicalTools;
  env: Record<string, string>;
  directory: string;
  facts: DatabaseFacts;
  database: string;
  signal: AbortSignal | undefined;
  onStderrLine: (line: string) => void;
  onBytes: (bytes: number) => void;
  locked: () => Promise<void>;
}): Promise<CheckedDump> => {
  const stream = new CustomStream();
  const sink = options.writer.openStream('dump.pgdump', 'blob');
  let bytes = 0;
  await runTool({
    command: options.tools.pgDump,
    args: ['--format=custom', '--compress=0', ...options.args],
    env: options.env,
    signal: options.signal,
    onStderrLine: options.onStderrLine,
    onStdout: async (chunk) => {
      const before = stream.toc;
      stream.push(chunk);
      if (before === undefined && stream.toc !== undefined) await options.locked();
      options.onBytes((bytes += chunk.length));
      await sink.write(chunk);
    },
  });
  if (bytes === 0) throw new ResurgoError('dumpEmpty', `pg_dump of ${options.database} wrote nothing`);
  const { toc } = stream;
  if (toc === undefined || !stream.complete)
    throw new ResurgoError(
      'dumpFailed',
      `pg_dump's output of ${options.database} (${String(bytes)} bytes) is cut short`,
    );
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  try {
    const head = join(options.directory, 'head');
    await writeFile(head, stream.head, { mode: 0o600 });
    const listed = await listDump(head, options.tools, options.env, options.signal);
    if (listed.size === 0 && hasListed(toc))
      throw new ResurgoError('dumpFailed', 'pg_restore --list found nothing in the dump');
  } finally {
    await rm(options.directory, { recursive: true, force: true });
  }
  const tables = tableFacts(toc, options.facts, (entry) => {
    const copy = stream.tables.get(entry.dumpId);
    return copy === undefined ? undefined : { bytes: copy.bytes, copy };
  });
  await sink.end();
  return {
    tables,
    largeObjects: stream.largeObjects,
    checks: ['pg_restore --list', 'every table complete', 'rows counted while sealing'],
  };
};
