import { defineConfig } from 'vitest/config';
import { globalSetup, heavy, setupFiles } from './vitest.shared.ts';

/** Long scenarios with numbers to meet (hours of load, hundreds of runs), `npm run test:soak`; a short form of each is in `npm test`. */
export default defineConfig({
  test: {
    ...heavy,
    globalSetup,
    name: 'soak',
    include: ['test/soak/**/*.test.ts'],
    setupFiles,
    testTimeout: 3_600_000,
    hookTimeout: 300_000,
  },
});
