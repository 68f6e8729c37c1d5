import { join } from 'node:path';
import { afterAll, beforeAll, describe, test, vi } from 'vitest';
import { allCrashes, crashPlan, describeCrash, throughPlanCrash } from '../support/crash/plan-cases.ts';
import { PlanScript } from '../support/plan-script.ts';
import { stopAll, tempDir, type TempDir } from '../support/index.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { startTemporal, type TemporalServer } from '../support/temporal.ts';
import { searchAttributeNames } from '../../workers/search-attributes.ts';

/** Cases mostly wait for heartbeat time-outs: so many go on beside each other, each with a namespace, a worker and a ledger of its own. */
const lanes = 6;
vi.setConfig({ maxConcurrency: lanes });

interface Lane {
  readonly stack: Stack;
  readonly script: PlanScript;
}

let temporal: TemporalServer;
let work: TempDir;
const all = new Set<Lane>();
const free: Lane[] = [];
const waiting: ((lane: Lane) => void)[] = [];
let named = 0;

beforeAll(async () => {
  work = tempDir('plan-crash');
  temporal = await startTemporal({ searchAttributes: Object.fromEntries(searchAttributeNames.map((name) => [name, 'Keyword' as const])) });
  const first = await makeLane();
  await first.stack.startWorker();
  free.push(first);
}, 300_000);
afterAll(async () => {
  await Promise.all([...all].map(({ stack }) => stack.stop()));
  await temporal.stop();
  await work.stop();
  await stopAll();
});

async function makeLane(): Promise<Lane> {
  const namespace = `lane${String(++named)}`;
  const script = new PlanScript(join(work.path, namespace));
  await temporal.addNamespace(namespace);
  const targets = { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://x@127.0.0.1:1/shop' } };
  const lane = { script, stack: await startStack({ targets, sections: { plans: { p: crashPlan(script) } }, shared: { temporal, namespace } }) };
  all.add(lane);
  return lane;
}

async function inLane(run: (lane: Lane) => Promise<void>): Promise<void> {
  const lane = free.pop() ?? (all.size < lanes ? await makeLane() : await new Promise<Lane>((take) => waiting.push(take)));
  const hand = (to: Lane): void => {
    const next = waiting.shift();
    if (next === undefined) free.push(to);
    else next(to);
  };
  try {
    await run(lane);
    hand(lane);
  } catch (error) {
    // What a failed case left at work would be in the way of the next one.
    if (error instanceof Error) error.message += `\n--- worker log\n${lane.stack.workerLog}`;
    await lane.stack.stop().catch(() => undefined);
    all.delete(lane);
    if (waiting.length > 0) await makeLane().then(hand);
    throw error;
  }
}

describe('I7 crash matrix of a six-step plan with rollback: before, inside and after every phase of every step', () => {
  test.concurrent.each(allCrashes.map((crash) => [describeCrash(crash), crash] as const))('%s', (_, crash) => inLane(({ stack, script }) => throughPlanCrash(stack, script, crash)), 900_000);
});
