import { afterAll } from 'vitest';
import { leakCheck, markProcess } from './leak-check.ts';
import { stopAll } from './resources.ts';

markProcess();

// Registered before those of the test file, so it runs after them.
afterAll(async () => {
  try {
    await leakCheck();
  } finally {
    await stopAll();
  }
});
