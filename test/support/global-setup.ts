import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * One directory for a whole run of tests, for what would otherwise be made again in every file: the workflow bundle, and Node's compiled
 * modules, which are half of what a worker or a command needs to start. Set before any test process is started; they all inherit it.
 */
export default function setup(): () => void {
  const dir = mkdtempSync(join(tmpdir(), 'resurgo-run-'));
  process.env['RESURGO_TEST_CACHE'] = dir;
  process.env['NODE_COMPILE_CACHE'] = join(dir, 'compiled');
  return () => {
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
}
