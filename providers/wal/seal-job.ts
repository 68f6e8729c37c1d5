import { sealPart, type SealJob, type SealResult } from '../vault/crypto-jobs.ts';
import { findRestorePoints, type FoundPoint } from './restore-points.ts';

/** Work for one stretch of WAL on one thread: looked through for restore points while it is plain, then sealed. */
export interface WalSealJob extends Omit<SealJob, 'type'> {
  readonly type: 'sealWal';
  /** Absent where nothing is to be looked for. */
  readonly scan?: {
    /** Offset from which on it has not been looked through. */
    readonly from: number;
    readonly segmentStart: boolean;
  };
}

export interface WalSealResult extends SealResult {
  readonly points: readonly FoundPoint[];
}

export function sealWalBytes(job: WalSealJob): WalSealResult {
  const { scan } = job;
  const points = scan === undefined ? [] : newPoints(Buffer.from(job.slot, job.at ?? 0, job.plainBytes), scan.from, scan.segmentStart);
  return { ...sealPart({ ...job, type: 'seal' }), points };
}

/** Those that end behind `from`: the others were found when that was looked through. */
export function newPoints(wal: Buffer, from: number, segmentStart: boolean): FoundPoint[] {
  const begin = Math.max(0, from - 128);
  return findRestorePoints(wal, begin - (begin % 8), segmentStart).filter(({ end }) => end > from);
}
