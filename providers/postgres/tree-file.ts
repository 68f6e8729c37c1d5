import { closeSync, constants, fchownSync, fstatSync, fsyncSync, openSync, readSync } from 'node:fs';
import type { ManifestFile } from './backup-manifest.ts';
import { FileDigest } from './physical-content-check.ts';
import { mergeIncrements, type MergeJob } from './incremental-file.ts';
import { pathBytes } from '../vault/tar-path.ts';

/** What to do with one file, in one pass over it. */
export interface FileJob {
  readonly path: string;
  /** First of all: the file is made of a chain's pieces. */
  readonly merge?: MergeJob;
  /** Compare size, and content when `content` is set. */
  readonly expected?: ManifestFile;
  readonly content: boolean;
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly sync: boolean;
}

export interface FileResult {
  readonly size?: number;
  readonly problem?: string;
  /** A failed system call: its code and message. */
  readonly error?: { readonly code: string; readonly message: string };
}

const buffer = Buffer.allocUnsafeSlow(512 * 1024);

export function treatFile(job: FileJob): FileResult {
  if (job.merge) mergeIncrements(job.path, job.merge);
  const fd = openSync(pathBytes(job.path), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    let problem: string | undefined;
    const { expected } = job;
    const { size } = fstatSync(fd);
    if (expected) {
      if (size !== expected.size) problem = `${expected.path} has ${size} bytes, the manifest says ${expected.size}`;
      else if (job.content) {
        const digest = new FileDigest(expected);
        for (let got = readSync(fd, buffer); got > 0; got = readSync(fd, buffer)) digest.write(buffer.subarray(0, got));
        problem = digest.problem();
      }
    }
    if (job.owner) fchownSync(fd, job.owner.uid, job.owner.gid);
    if (job.sync) fsyncSync(fd);
    return problem === undefined ? { size } : { size, problem };
  } finally {
    closeSync(fd);
  }
}

export const treatJobs = (jobs: readonly FileJob[]): FileResult[] =>
  jobs.map((job): FileResult => {
    try {
      return treatFile(job);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return { error: { code: code ?? '', message } };
    }
  });
