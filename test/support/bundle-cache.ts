import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Bundles of this run of tests (see global-setup.ts), by the name that tells their content. */
const shared = (): string | undefined => {
  const dir = process.env['RESURGO_TEST_CACHE'];
  return dir === undefined ? undefined : join(dir, 'bundles');
};

const copyMissing = (from: string, to: string): void => {
  if (!existsSync(from)) return;
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(from).filter((each) => /^workflows-[0-9a-f]+\.js$/.test(each) && !existsSync(join(to, each)))) {
    // Whole or not at all: another file's stack may be looking.
    const work = mkdtempSync(join(to, '.copy-'));
    cpSync(join(from, name), join(work, name));
    renameSync(join(work, name), join(to, name));
    rmSync(work, { recursive: true });
  }
};

/** Gives a worker that has not started yet the bundles that others made. */
export function takeBundles(cacheDir: string): void {
  const dir = shared();
  if (dir !== undefined) copyMissing(dir, cacheDir);
}

/** Gives others what a worker made. */
export function giveBundles(cacheDir: string): void {
  const dir = shared();
  if (dir !== undefined) copyMissing(cacheDir, dir);
}
