import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startGameDayStack, type GameDayStack } from '../support/gameday-stack.ts';
import { sleep } from '../support/server-process.ts';
import type { Stack } from '../support/stack.ts';

let day: GameDayStack;
let stack: Stack;

beforeAll(async () => {
  day = await startGameDayStack();
  ({ stack } = day);
}, 300_000);
afterAll(() => day.stop());

describe('D2 game days', () => {
  test('D2 the server is killed; the service a plan starts is the sandbox\'s own', async () => {
    const result = await stack.run('gameday', { plan: 'start' });
    expect(result.checks.filter((check) => check.outcome === 'failed')).toEqual([]);
    expect(result).toMatchObject({ status: 'passed', simulated: [], cleanedUp: true });
    expect(day.server.isRunning).toBe(true);
    await day.nothingLeft();
  });

  test.each([{ kind: 'data-lost' }, { kind: 'config-broken' }, { kind: 'database-dropped' }, { kind: 'data-corrupted', table: 'orders' }, { kind: 'server-stopped' }, { kind: 'rows-deleted', table: 'public.orders', where: 'id > 100' }] as const)('D2 disaster $kind: restored in place', async (disaster) => {
    const result = await stack.run('gameday', { plan: 'recover', disaster });
    expect(result.checks.filter((check) => check.outcome === 'failed'), JSON.stringify(result.phases)).toEqual([]);
    expect(result, JSON.stringify(result.error ?? result.steps)).toMatchObject({ status: 'passed', planStatus: 'completed', cleanedUp: true });
  });

  test('D2 cancelled, and the worker killed while the plan runs: nothing stays behind', async () => {
    const { client } = await stack.client();
    const during = async (step: string): Promise<void> => {
      const until = Date.now() + 180_000;
      while (Date.now() < until) {
        await sleep(50);
        const steps = await client.workflow.getHandle('drill/shop').query<{ name: string; state: string }[]>('steps').catch(() => []);
        if (steps.some((item) => item.name === step && item.state === 'in progress')) return;
      }
      throw new Error(`the game day never came to "${step}"`);
    };
    const cancelled = await stack.start('gameday', { plan: 'slow', target: 'shop', disaster: { kind: 'server-killed' } });
    await during('run the plan');
    await expect(stack.run('drill', { target: 'shop' })).rejects.toMatchObject({ code: 'lockBusy' });
    await sleep(1000);
    await cancelled.handle.cancel();
    await expect(cancelled.handle.result()).rejects.toThrow();
    await day.nothingLeft();

    stack.arm({ activity: 'sandboxRestoreStep', when: 'inside', operation: 'sql', at: 1 });
    const killed = await stack.start('gameday', { plan: 'recover' });
    await during('run the plan');
    await stack.stopWorker();
    stack.disarm();
    await stack.startWorker();
    expect(await stack.resultOf(killed)).toMatchObject({ status: 'passed', cleanedUp: true });
    await day.nothingLeft();

    // The run is ended by force and the worker dies: the next one finds what is left.
    const lost = await stack.start('gameday', { plan: 'slow', target: 'shop', disaster: { kind: 'server-killed' } });
    await during('run the plan');
    await stack.stopWorker();
    await client.workflow.getHandle('drill/shop').terminate('by force');
    await stack.startWorker();
    await lost.handle.result().catch(() => undefined);
    await day.nothingLeft();
  }, 900_000);
});
