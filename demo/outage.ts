import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../client/connect.ts';
import { listIncidents } from '../client/incidents/find.ts';
import { formatDuration } from '../config/units.ts';
import { lockIds } from '../domain/ids.ts';
import type { IncidentView } from '../domain/incident.ts';
import type { PlanView } from '../domain/plan/view.ts';
import { sleep } from '../test/support/index.ts';
import { AllInOne } from './all-in-one.ts';
import { DemoError } from './children.ts';
import { ShopClient } from './client.ts';
import { addresses, isPrimary, ordersConfig, record, startOrders, type Orders } from './cluster.ts';
import { resurgo } from './resurgo.ts';
import type { Stage } from './stage.ts';

/** Longest wait for anything that has to happen by itself. */
const patienceMs = 180_000;

async function until<T>(stage: Stage, what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + patienceMs;
  for (;;) {
    stage.signal.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new DemoError(`${what} did not happen within ${formatDuration(patienceMs)}`);
    await sleep(100);
  }
}

/** A cluster loses its primary; everything that follows goes by itself, over the death of the worker. */
export async function surviveAnOutage(stage: Stage, up: AllInOne): Promise<AllInOne> {
  const { screen } = stage;
  const begun = performance.now();
  const orders = await screen.busy(() => 'starting a primary, a standby and a name server', () => startOrders(stage));
  const again = await configure(stage, up, orders);
  screen.good(`orders: primary a, standby b${orders.names === undefined ? '' : `; BIND says ${record} is ${await orders.address()}`}`, performance.now() - begun);
  if (orders.namesMissing !== undefined) screen.say(`There is no BIND to be had here (${orders.namesMissing}): moving DNS is left out.`);

  const application = new ShopClient({ port: orders.port, where: () => orders.address() });
  stage.onStop(async () => {
    await application.stop();
  });
  application.start();
  await until(stage, 'the first write', async () => (application.acknowledged > 20 ? true : undefined));
  const run = await dieAndRecover(stage, again, orders, application);
  screen.heading('The old primary comes back');
  await resurgo(stage, ['rejoin', 'orders', 'a', '--by', 'rewind'], { remark: 'pg_rewind; clone and keep are the other choices' });
  await resurgo(stage, ['standby', 'status', 'orders']);
  await settle(stage, again, orders, application);
  await resurgo(stage, ['evidence', 'show', run], { remark: 'signed, in the repositories; also as a page', show: (line, from) => from === 'stdout' && !/^page:|signed by/.test(line) });
  return again;
}

/** Writes the cluster into the configuration and starts `resurgo up` again: it reads its configuration when it starts. */
async function configure(stage: Stage, up: AllInOne, orders: Orders): Promise<AllInOne> {
  const { screen } = stage;
  const file = join(stage.dir, 'resurgo.yaml');
  const { targets, rest } = ordersConfig(orders);
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^targets:\n/m, `targets:\n${targets}`) + rest, { mode: 0o600 });
  screen.command('edit resurgo.yaml');
  screen.output('targets: orders, two members; monitors: its primary, asked every 500 ms', true);
  screen.output(`plans: fail-over-orders: postgres.failover${orders.names === undefined ? '' : ', dns.switch'}, postgres.validate`, true);
  screen.command('resurgo up', 'stopped and started again');
  return screen.busy(() => 'starting', async () => {
    await up.stop();
    return AllInOne.start(stage);
  });
}

/** @returns id of the plan's run */
async function dieAndRecover(stage: Stage, up: AllInOne, orders: Orders, application: ShopClient): Promise<string> {
  const { screen } = stage;
  const { client, connection } = await connect({ connection: { address: up.state.address }, namespace: up.state.namespace });
  const incident = async (): Promise<IncidentView | undefined> => (await listIncidents(client)).find((view) => view.target === 'orders');
  const told = new Set<string>();
  /** What the incident says, as it says it. */
  const tell = (view: IncidentView): void => {
    for (const { at, event, text } of view.timeline) {
      if (told.has(`${at} ${event} ${text}`) || event === 'message') continue;
      told.add(`${at} ${event} ${text}`);
      screen.output(`${at.slice(11, 19)}  ${event.padEnd(13)} ${stage.tidy(text)}`);
    }
  };
  try {
    const primary = orders.cluster.member('a');
    screen.alarm(`$ kill -9 ${String(primary.pid)}   # PostgreSQL a, the primary, with ${String(application.acknowledged)} writes of an application behind it`);
    const killed = performance.now();
    await primary.kill();
    const opened = await until(stage, 'an incident', incident);
    screen.good('the monitor saw it and an incident is open', performance.now() - killed);
    tell(opened);
    const follow = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
      until(stage, what, async () => {
        const view = await incident();
        if (view !== undefined) tell(view);
        return look();
      });
    await follow('the promotion of b', async () => ((await isPrimary(orders.cluster, 'b')) ? true : undefined));
    await killWorker(stage, up, orders);
    const ended = await follow('the end of the plan', async () => (await incident())?.attempts.find((attempt) => attempt.endedAt !== null));
    if (ended.status !== 'completed') throw new DemoError(`the plan ended ${ended.status}: ${ended.detail}`);
    const wrote = await until(stage, 'a write at the new primary', async () => (application.address === addresses.b ? performance.now() : undefined));
    screen.good(`the application writes again, at ${addresses.b}${orders.names === undefined ? '' : `, where ${record} has led it`}`, wrote - killed);
    const view = await client.workflow.getHandle(lockIds.plan('fail-over-orders', 'orders')).query<PlanView>('plan');
    for (const step of view.steps) screen.output(`${step.status === 'completed' ? '✓' : '✗'} ${step.id} (${step.uses}): ${step.summary ?? step.error?.message ?? ''}`);
    return view.id;
  } finally {
    await connection.close();
  }
}

async function killWorker(stage: Stage, up: AllInOne, orders: Orders): Promise<void> {
  const { screen } = stage;
  const pid = up.workerPid();
  if (pid === undefined) throw new DemoError('resurgo up has no worker');
  up.news();
  process.kill(pid, 'SIGKILL');
  const names = await orders.address();
  screen.alarm(`$ kill -9 ${String(pid)}   # the worker, half-way: b is promoted${names === addresses.a ? `, ${record} still says ${names}` : ''}`);
  const next = await up.anotherWorker(pid, stage.signal);
  for (const line of up.news()) screen.output(`resurgo up: ${line}`, true);
  screen.output(`resurgo up: worker ${String(next)} starts, and the plan goes on where it was`, true);
}

/** The incident ends when its monitor is content; then the application's own account is settled with the database. */
async function settle(stage: Stage, up: AllInOne, orders: Orders, application: ShopClient): Promise<void> {
  const { screen } = stage;
  const { client, connection } = await connect({ connection: { address: up.state.address }, namespace: up.state.namespace });
  try {
    const over = await until(stage, 'the end of the incident', async () => (await listIncidents(client)).find((view) => view.target === 'orders' && view.status === 'resolved'));
    screen.good(`the incident is resolved: ${over.resolution ?? ''}`);
  } finally {
    await connection.close();
  }
  const { numbers, gapMs } = await application.stop();
  const rows = await orders.cluster.member('b').sql<{ note: string }>('shop', 'select distinct note from t');
  const there = new Set(rows.map(({ note }) => Number(note)));
  const lost = numbers.filter((number) => !there.has(number)).length;
  screen.good(`${String(numbers.length)} writes were acknowledged to the application, ${String(lost)} of them are lost; none for ${formatDuration(Math.round(gapMs))}`);
  screen.say('Most of that time is the dead worker, which is noticed by its silence of some seconds. The standby is asynchronous; with a synchronous one no acknowledged write can be lost.');
}
