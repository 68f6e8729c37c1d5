import { ResurgoError } from '../../domain/errors.ts';
import { runTool } from '../host/child.ts';
import { findPgTool } from './tools.ts';
import type { FindOptions } from './tools.ts';

/** What pg_controldata tells of a data directory. */
export interface ControlData {
  readonly systemId: string;
  readonly state: string;
  readonly blockSize: number;
  readonly blocksPerSegment: number;
  readonly dataChecksums: boolean;
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
}

/** @throws toolMissing, toolVersion, toolFailed, contentMismatch */
export async function readControlData(dataDir: string, major: number, options: FindOptions = {}): Promise<ControlData> {
  const tool = await findPgTool('pg_controldata', major, options);
  const { stdout } = await runTool({ command: tool.path, args: ['-D', dataDir] });
  const values = new Map(
    stdout.split('\n').map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at), line.slice(at + 1).trim()] as const;
    }),
  );
  const text = (name: string): string => {
    const value = values.get(name);
    if (value === undefined)
      throw new ResurgoError(
        'contentMismatch',
        `pg_controldata says nothing of ${JSON.stringify(name)} for ${dataDir}.`,
      );
    return value;
  };
  const number = (name: string): number => Number(text(name));
  return {
    systemId: text('Database system identifier'),
    state: text('Database cluster state'),
    blockSize: number('Database block size'),
    blocksPerSegment: number('Blocks per segment of large relation'),
    dataChecksums: text('Data page checksum version') !== '0',
    maxConnections: number('max_connections setting'),
    maxWorkerProcesses: number('max_worker_processes setting'),
    maxWalSenders: number('max_wal_senders setting'),
    maxPreparedTransactions: number('max_prepared_xacts setting'),
    maxLocksPerTransaction: number('max_locks_per_xact setting'),
  };
}
