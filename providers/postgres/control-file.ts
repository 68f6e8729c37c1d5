import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';

/** DBState of src/include/catalog/pg_control.h, in order. */
const states = ['starting', 'shutDown', 'shutDownInRecovery', 'shuttingDown', 'inCrashRecovery', 'inArchiveRecovery', 'inProduction'] as const;
export type ControlState = (typeof states)[number];

/** The first fields of pg_control, the same in every version since 8: read without a program of PostgreSQL, for they are wanted in a hurry. */
export async function readControlFile(dataDir: string): Promise<{ systemId: string; state: ControlState }> {
  const path = join(dataDir, 'global', 'pg_control');
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw new ResurgoError('contentMismatch', `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error, details: { hint: 'Correct dataDir: it names no data directory of a server.' } });
  });
  try {
    const head = Buffer.alloc(20);
    const { bytesRead } = await handle.read(head, 0, 20, 0);
    const state = states[head.readUInt32LE(16)];
    if (bytesRead < 20 || state === undefined) throw new ResurgoError('contentMismatch', `${path} is no control file of PostgreSQL`);
    return { systemId: head.readBigUInt64LE(0).toString(), state };
  } finally {
    await handle.close();
  }
}
