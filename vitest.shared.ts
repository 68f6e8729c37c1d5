import { availableParallelism } from 'node:os';
import type { ViteUserConfig } from 'vitest/config';

type TestOptions = NonNullable<ViteUserConfig['test']>;

// Time limits only end what hangs: a cold or busy machine may need many times what a quiet one does.

/** Tests of pure rules and of files in a directory of their own: one on each core, where vitest itself would leave one idle. */
export const light: TestOptions = { pool: 'forks', maxWorkers: availableParallelism(), testTimeout: 120_000, hookTimeout: 120_000 };

/** Tests that start servers: one file after the other, so that two cores carry them. */
export const heavy: TestOptions = {
  pool: 'forks',
  fileParallelism: false,
  maxWorkers: 1,
  // Cases in lanes (test/support/crash) wait for the one that suits them.
  maxConcurrency: 20,
  testTimeout: 360_000,
  hookTimeout: 360_000,
  teardownTimeout: 30_000,
};

export const setupFiles = ['test/support/setup.ts'];
export const globalSetup = ['test/support/global-setup.ts'];
