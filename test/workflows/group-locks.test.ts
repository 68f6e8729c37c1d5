/** R6 B16: what changes a group in place holds every member, all or nothing; what changes a member in place holds its groups. */
import { mkdirSync, writeFileSync, readFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

let stack: Stack;
let work: TempDir;
const at = (...names: string[]): string => join(work.path, ...names);
beforeAll(async () => {
  work = tempDir('members');
  stack = await startStack({
    targets: {
      alpha: { type: 'files', paths: [at('alpha')] },
      zeta: { type: 'files', paths: [at('zeta')] },
      middle: { type: 'group', members: ['alpha', 'zeta'] },
    },
  });
  for (const name of ['alpha', 'zeta']) {
    mkdirSync(at(name));
    writeFileSync(at(name, 'file'), 'old\n');
  }
  await stack.startWorker();
});
afterAll(async () => {
  await stack.stop();
  await work.stop();
});

/** Holds the lock of a target as a run at work does. */
async function hold(target: string): Promise<() => Promise<void>> {
  const { client } = await stack.client();
  const handle = await client.workflow.start('backupOperation', { workflowId: `op/${target}`, taskQueue: 'nobody-polls-this', args: [] });
  return async () => { await handle.terminate('done'); };
}
async function held(): Promise<string[]> {
  const { client } = await stack.client();
  const found: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query: `ExecutionStatus = 'Running'` })) found.push(workflowId);
  return found.toSorted();
}
const settled = async (wanted: string[]): Promise<void> => {
  for (let i = 0; i < 600 && (await held()).join() !== wanted.join(); i++) await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await held()).toEqual(wanted);
};
const content = (name: string): string => readFileSync(at(name, 'file'), 'utf8');

test('R6 a group in place: one busy member refuses it, and no other lock stays', async () => {
  await stack.run('backup', { target: 'middle' });
  for (const name of ['alpha', 'zeta']) writeFileSync(at(name, 'file'), 'new\n');
  await settled([]);
  // The last one in the order: the others are held by then.
  const release = await hold('zeta');
  await expect(stack.run('restore', { target: 'middle', mode: 'in-place' })).rejects.toMatchObject({ code: 'lockBusy', message: expect.stringContaining('op/zeta') as string });
  await settled(['op/zeta']);
  expect([content('alpha'), content('zeta')]).toEqual(['new\n', 'new\n']);
  // A backup of another member goes on meanwhile.
  expect(await stack.run('backup', { target: 'alpha' })).toMatchObject({ status: 'verified' });
  await release();
  const done = await stack.run('restore', { target: 'middle', mode: 'in-place' });
  expect(done).toMatchObject({ status: 'restored' });
  expect([content('alpha'), content('zeta')]).toEqual(['old\n', 'old\n']);
  await settled([]);
  // Bringing the old data back holds them all too.
  const again = await hold('alpha');
  const rolling = stack.run('finishRestore', { id: done.id, target: 'middle', action: 'rollback' });
  // It waits for the one that is busy, and touches nothing before.
  await new Promise((resolve) => setTimeout(resolve, 5000));
  expect([content('alpha'), content('zeta')]).toEqual(['old\n', 'old\n']);
  await again();
  expect(await rolling).toMatchObject({ status: 'rolled-back' });
  expect([content('alpha'), content('zeta')]).toEqual(['new\n', 'new\n']);
});

test('R6 a member in place waits for no backup of its group: it is refused; beside is not', async () => {
  await stack.run('backup', { target: 'alpha' });
  await settled([]);
  const release = await hold('middle');
  await expect(stack.run('restore', { target: 'alpha', mode: 'in-place' })).rejects.toMatchObject({ code: 'lockBusy', message: expect.stringContaining('op/middle') as string });
  await stack.run('restore', { target: 'alpha', mode: 'beside', to: at('beside') });
  expect(existsSync(at('beside'))).toBe(true);
  await release();
});

test('R6 two in-place restores that wait for each other both end', async () => {
  await settled([]);
  const [group, member] = await Promise.all([
    stack.run('restore', { target: 'middle', mode: 'in-place', onBusy: 'wait' }).catch((error: unknown) => error),
    stack.run('restore', { target: 'zeta', mode: 'in-place', onBusy: 'wait', backup: 'latest' }).catch((error: unknown) => error),
  ]);
  // What is kept of an earlier one may refuse a later; neither hangs.
  expect([group, member].every((outcome) => outcome !== undefined)).toBe(true);
  await settled([]);
}, 360_000);
