import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '../../client/connect.ts';
import { readUpState, type UpState } from '../../client/up-state.ts';
import { checkout, ServerProcess, sleep, stopAll, tempDir, toolsEnv } from '../support/index.ts';
import { configHere } from '../support/in-process.ts';
import { tail } from '../support/server-process.ts';

const ups: { readonly dir: string; readonly process: ServerProcess }[] = [];

/** `resurgo up` in a directory of its own, with a target that only it has. */
async function up(target: string): Promise<void> {
  const { path: dir } = tempDir('up');
  await configHere(dir, { [target]: { type: 'files', paths: [dir] } });
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TEMPORAL_|AWS_|PG)/.test(name)));
  ups.push({ dir, process: new ServerProcess({ name: `up of ${target}`, file: process.execPath, args: [join(checkout, 'bin', 'resurgo'), 'up', '--verbose'], cwd: dir, env: { ...env, TEMPORAL_CLI_PATH: toolsEnv().temporal }, logFile: join(dir, 'up.log') }) });
}

async function ready({ dir, process: running }: (typeof ups)[number]): Promise<UpState> {
  for (const until = Date.now() + 240_000; ; ) {
    const state = await readUpState(join(dir, '.resurgo'));
    if (state?.ready === true) return state;
    if (!running.isRunning || Date.now() > until) throw new Error(`not ready:\n${tail(join(dir, 'up.log'))}`);
    await sleep(100);
  }
}

beforeAll(async () => {
  // At the same moment, as at the boot of a machine: both find the same ports free.
  await Promise.all([up('one'), up('two')]);
});
afterAll(stopAll);

test('O5 two configurations started at the same moment each have a Temporal of their own', async () => {
  const states = await Promise.all(ups.map(ready));
  expect(new Set(states.map(({ address }) => address)).size).toBe(2);
  expect(new Set(states.map(({ ui }) => ui)).size).toBe(2);
  for (const [i, target] of ['one', 'two'].entries()) {
    const { address, namespace } = states[i] as UpState;
    const { connection, client } = await connect({ connection: { address }, namespace });
    try {
      // The worker that answers there has this configuration, and not the other's.
      for (let tries = 1; tries <= 3; tries++) expect(await client.workflow.execute('backup', { taskQueue: 'resurgo', workflowId: `${target}-${String(tries)}`, args: [{ target }] })).toMatchObject({ status: 'verified', target });
    } finally {
      await connection.close();
    }
  }
  for (const { process: running } of ups) {
    await running.end('SIGTERM', 60_000);
    expect(running.child.exitCode).toBe(0);
  }
});
