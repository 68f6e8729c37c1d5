import { defineConfig } from 'vitest/config';
import { globalSetup, heavy, setupFiles } from './vitest.shared.ts';

/** The full crash and fault matrix, `npm run test:crash`. */
export default defineConfig({
  test: {
    ...heavy,
    globalSetup,
    name: 'crash',
    include: ['test/crash/**/*.test.ts'],
    setupFiles,
    testTimeout: 600_000,
    hookTimeout: 300_000,
  },
});
