import { totalmem } from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';
import { globalSetup, heavy, light, setupFiles } from './vitest.shared.ts';

const inFolders = (...folders: string[]) => folders.map((folder) => `test/${folder}/**/*.test.ts`);
/** What keeps both cores busy by itself, or takes the ports that `resurgo up` takes by default. */
const alone = ['demo', 'bench-smoke', 'up'].map((name) => `test/integration/${name}.test.ts`);

/** The default suite, `npm test`: less than 20 minutes on 2 cores. The full crash matrix is `npm run test:crash`. */
export default defineConfig({
  test: {
    globalSetup,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...light,
          name: 'light',
          include: inFolders('unit', 'activities', 'contract'),
          setupFiles,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...heavy,
          // Much of their time is waiting: for servers, workers and each other. Each takes up to 2 GiB.
          fileParallelism: true,
          maxWorkers: totalmem() >= 7 * 2 ** 30 ? 3 : 2,
          name: 'servers',
          include: inFolders('workflows', 'replay', 'integration', 'crash-quick'),
          exclude: alone,
          setupFiles,
          sequence: { groupOrder: 1 },
        },
      },
      { test: { ...heavy, name: 'alone', include: alone, setupFiles, sequence: { groupOrder: 2 } } },
    ],
  },
});
