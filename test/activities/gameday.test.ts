import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { claimRoot, sandboxStateDir, writeDrillMark } from '../../activities/drill/places.ts';
import { gameDayActivities } from '../../activities/gameday.activities.ts';
import { sandboxDeps } from '../../activities/gameday/deps.ts';
import { planActivities } from '../../activities/plan.activities.ts';
import type { Sandbox } from '../../domain/gameday.ts';
import { writeConfig } from '../support/cluster.ts';
import { depsOf } from '../support/in-process.ts';
import { stopAll, tempDir } from '../support/index.ts';

afterEach(stopAll);

async function forged() {
  const work = tempDir('forged').path;
  const deps = depsOf(await writeConfig({
    targets: { shop: { type: 'postgres', engine: 'physical', connection: 'postgres://x@127.0.0.1:1/shop', dataDir: join(work, 'production'), service: { stop: ['/bin/true'], start: ['/bin/true'] } } },
    plans: { p: { steps: [{ id: 'a', uses: 'exec', with: { command: ['/usr/bin/touch', join(work, 'touched')] } }] } },
  }));
  const { stateDir } = deps.loaded;
  const root = join(work, 'sandbox');
  mkdirSync(join(work, 'production'));
  writeFileSync(join(work, 'production', 'PG_VERSION'), '18\n');
  const home = join(work, 'home');
  const sandbox: Sandbox = { id: 'abc', target: 'shop', host: 'test-host', root, dataDir: join(root, 'data'), home, stateDir: sandboxStateDir(stateDir, 'abc'), control: join(sandboxStateDir(stateDir, 'abc'), 'server'), superuser: 'postgres', database: 'shop', engine: 'physical', services: [], run: [] };
  return { work, deps, sandbox, make: async () => {
    await writeDrillMark(stateDir, { id: 'abc', target: 'shop', root, home, startedAt: '2026-11-26T00:00:00Z' });
    await claimRoot({ id: 'abc', root, home });
    mkdirSync(join(root, 'data'));
    writeFileSync(join(root, 'data', 'PG_VERSION'), '18\n');
  } };
}

describe('D2 a sandbox is believed only where this host has made it', () => {
  test('a disaster, a restore or a step with a sandbox that is none is refused, and touches nothing', async () => {
    const { work, deps, sandbox, make } = await forged();
    const day = gameDayActivities(deps);
    const { applyStep } = planActivities(deps);
    const tryAll = async (given: Sandbox): Promise<void> => {
      const disaster = { kind: 'data-lost' } as const;
      await expect(day.injectDisaster({ sandbox: given, disaster })).rejects.toMatchObject({ code: 'unsafePath' });
      await expect(day.closeSandbox({ sandbox: given })).rejects.toMatchObject({ code: 'unsafePath' });
      await expect(day.sandboxRestoreStep({ sandbox: given, step: 'stopServices', input: {} })).rejects.toMatchObject({ code: 'unsafePath' });
      await expect(applyStep({ run: { id: 'r', plan: 'p', fence: '1', configHash: 'x', mode: 'graceful', gameday: given }, step: 'a', uses: 'exec', version: 1, input: { command: ['/usr/bin/touch', join(work, 'touched')] } })).rejects.toMatchObject({ code: 'unsafePath' });
    };
    await tryAll(sandbox);
    await make();
    for (const wrong of [{ dataDir: join(work, 'production') }, { root: work }, { control: '/bin/sh' }, { stateDir: work }, { host: 'other' }, { target: 'x' }, { id: '../abc' }, { home: '/tmp' }]) await tryAll({ ...sandbox, ...wrong });
    expect(existsSync(join(work, 'production', 'PG_VERSION'))).toBe(true);
    expect(existsSync(join(work, 'touched'))).toBe(false);
    // The real one: what is destroyed is the sandbox.
    expect(await day.injectDisaster({ sandbox, disaster: { kind: 'data-lost' } })).toMatchObject({ detail: expect.stringContaining('everything in the data directory is gone') as string });
    expect(existsSync(join(sandbox.dataDir, 'PG_VERSION'))).toBe(false);
    expect(existsSync(join(work, 'production', 'PG_VERSION'))).toBe(true);
  });

  test('inside, the target is the sandbox, hooks are its own, and nothing reaches people or other runs', async () => {
    const { deps, sandbox } = await forged();
    const inside = sandboxDeps({ ...deps, submitAlert: async () => undefined, startNotification: async () => undefined, isRunning: async () => true }, sandbox);
    expect(inside.loaded.config.targets['shop']).toMatchObject({ dataDir: sandbox.dataDir, host: 'test-host', service: { stop: [sandbox.control, 'stop'], start: [sandbox.control, 'start'] } });
    expect(inside.loaded.stateDir).toBe(sandbox.stateDir);
    expect([inside.submitAlert, inside.startNotification, inside.isRunning, inside.outcomeOf, inside.waitForClose]).toEqual([undefined, undefined, undefined, undefined, undefined]);
    await expect(inside.stores.spool('x')).rejects.toMatchObject({ code: 'unsupported' });
  });
});
