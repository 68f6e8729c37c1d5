import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '../host/child.ts';

/** Gives back the System V segment that the postmaster of a data directory held, when it was killed; `ipcrm` refuses none that is not there. */
export async function releaseSharedMemory(dataDir: string): Promise<void> {
  const lines = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const id = lines[6]?.trim().split(/\s+/)[1];
  if (id === undefined || !/^\d+$/.test(id)) return;
  await runTool({ command: 'ipcrm', args: ['-m', id], okExitCodes: [0, 1] }).catch(() => undefined);
}
