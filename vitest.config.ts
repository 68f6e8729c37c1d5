import { defineConfig } from 'vitest/config';
import { heavy, light, setupFiles } from './vitest.shared.ts';

const inFolders = (...folders: string[]) => folders.map((folder) => `test/${folder}/**/*.test.ts`);

/** The default suite, `npm test`: less than 20 minutes on 2 cores. The full crash matrix is `npm run test:crash`. */
export default defineConfig({
  test: {
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
          name: 'servers',
          include: inFolders('workflows', 'replay', 'integration', 'crash-quick'),
          setupFiles,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
