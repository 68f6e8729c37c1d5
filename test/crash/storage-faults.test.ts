/** B8 B10 B11: one fault at every storage call of backup, restore, prune, copy and verification: never a false success, and a clean rerun converges. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { storageCases } from '../support/storage-cases.ts';
import { sweep } from '../support/storage-sweep.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

vi.mock('@temporalio/workflow', () => import('../support/workflows-here.ts'));

let work: TempDir;
beforeEach(() => {
  work = tempDir('sweep');
});
afterEach(() => work.stop());

/** For a quick look: only every so many-th. */
const every = Number(process.env['SWEEP_EVERY'] ?? 1);

test.each(storageCases)('%s', { timeout: 3_600_000 }, async (name, prepare) => {
  const { arena, steps } = await prepare(work.path);
  const report = await sweep(arena, steps, every);
  process.stderr.write(`${name}: ${String(report.calls)} calls, ${String(report.runs)} runs, ${String(report.failed)} ended with an error, ${String(report.problems.length)} problems\n`);
  expect(report.problems.slice(0, 40)).toEqual([]);
  expect(report.runs).toBeGreaterThan((2 * report.calls) / every - 2);
});
