/** B8 B10 B11: a share of the faults of test/crash/storage-faults.test.ts, which has one at every call. */
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

test.each(storageCases)('%s: never a false success, and a clean rerun converges', async (_, prepare) => {
  const { arena, steps } = await prepare(work.path);
  const { problems, runs } = await sweep(arena, steps, 97);
  expect(problems).toEqual([]);
  expect(runs).toBeGreaterThan(1);
});
