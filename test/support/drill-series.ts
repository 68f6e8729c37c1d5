/** Many drills in a row, every third cancelled, terminated or with its worker killed: whatever happens, nothing stays. */
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { verifyAllEvidence } from '../../client/evidence.ts';
import { drillHistory } from '../../client/drill-history.ts';
import { drillsLeft, drillTemporary } from './drill-left.ts';
import type { PostgresServer } from './postgres.ts';
import { sleep } from './server-process.ts';
import { startStack, type Stack } from './stack.ts';

export interface DrillSeries {
  readonly stack: Stack;
  readonly place: string;
  readonly temporary: string;
}

export async function startDrillSeries(server: PostgresServer): Promise<DrillSeries> {
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', `create table orders(id bigint primary key, note text); insert into orders select i, md5(i::text) from generate_series(1, 5000) i`);
  const place = join(server.socketDir, 'drills');
  mkdirSync(place, { mode: 0o711 });
  if (server.runAs !== undefined) chownSync(place, server.runAs.uid, server.runAs.gid);
  const temporary = drillTemporary();
  const stack = await startStack({
    env: { TMPDIR: temporary },
    targets: {
      shop: { type: 'postgres', engine: 'physical', connection: server.url('shop'), toolsDir: server.pgBin },
      orders: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin, jobs: 2 },
    },
    sections: { drills: ['shop', 'orders'].map((target) => ({ target, directory: place, integrity: 'quick', checks: [{ sql: 'select count(*) = 5000 from orders' }] })) },
  });
  await stack.startWorker();
  for (const target of ['shop', 'orders']) await stack.run('backup', { target });
  return { stack, place, temporary };
}

export interface SeriesOutcome {
  readonly passed: number;
  readonly disturbed: number;
  /** Results of undisturbed drills that did not pass. */
  readonly failed: readonly string[];
  readonly left: readonly string[];
  readonly evidence: string;
  readonly recorded: number;
}

/** How each third drill is disturbed, in turn, and while which step is at work. */
const disturbances = ['cancel', 'kill', 'terminate'] as const;
const steps = ['fetch and build', 'check and measure'] as const;

export async function runDrillSeries({ stack, place, temporary }: DrillSeries, count: number): Promise<SeriesOutcome> {
  const { client } = await stack.client();
  let passed = 0;
  let disturbed = 0;
  const failed: string[] = [];
  for (let n = 0; n < count; n++) {
    const target = n % 2 === 0 ? 'shop' : 'orders';
    const run = await stack.start('drill', { target });
    if (n % 3 === 1) {
      const how = disturbances[disturbed % disturbances.length] ?? 'cancel';
      const during = steps[Math.floor(disturbed / disturbances.length) % steps.length] ?? steps[0];
      disturbed++;
      const lock = client.workflow.getHandle(`drill/${target}`);
      // eslint-disable-next-line @typescript-eslint/no-meaningless-void-operator -- the pause of the loop
      for (const until = Date.now() + 120_000; Date.now() < until; void (await sleep(10))) {
        const items = await lock.query<{ name: string; state: string }[]>('steps').catch(() => []);
        if (items.some((item) => item.name === during && item.state !== 'pending')) break;
      }
      if (how === 'cancel') await run.handle.cancel();
      if (how === 'kill') {
        await stack.stopWorker('SIGKILL');
        await stack.startWorker();
      }
      if (how === 'terminate') {
        await lock.terminate('by force').catch(() => undefined);
        await stack.stopWorker('SIGKILL');
        await stack.startWorker();
      }
      await run.handle.result().catch(() => undefined);
      continue;
    }
    const result = await stack.resultOf(run);
    if (result.status === 'passed' && result.cleanedUp) passed++;
    else failed.push(`${String(n)} ${target}: ${JSON.stringify(result.error ?? result.checks.filter((check) => check.outcome === 'failed'))}`);
  }
  const left = await drillsLeft(stack, [place, temporary]);
  const { status } = await verifyAllEvidence(stack.loaded);
  const histories = await Promise.all(['shop', 'orders'].map((target) => drillHistory(stack.loaded, target, 1000)));
  return { passed, disturbed, failed, left, evidence: status, recorded: histories.reduce((sum, history) => sum + history.drills.length, 0) };
}
