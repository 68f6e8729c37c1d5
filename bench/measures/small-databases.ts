import { startPostgres } from '../../test/support/index.ts';
import { serverSettings } from '../database.ts';
import type { Lab } from '../lab.ts';
import { PgDump } from '../peers/pg-dump.ts';
import { measureOf } from '../report.ts';
import { ResurgoHost } from '../resurgo-host.ts';
import { interleave } from '../rounds.ts';
import type { Measure, Sample } from '../types.ts';

const count = 200;
/** Backups under way at once. */
const atOnce = 10;

/** 200 databases of 1 MB each by one worker, and how long the history of each backup becomes. */
export async function smallDatabases(lab: Lab): Promise<Measure[]> {
  await lab.end('shared');
  await lab.end('newest');
  await lab.end('idle');
  const server = await startPostgres({ ...serverSettings, fsync: false });
  const names = Array.from({ length: count }, (_, i) => `small_${String(i + 1).padStart(3, '0')}`);
  lab.note(`making ${String(count)} databases`);
  await server.sql('postgres', 'create database small');
  await server.sql(
    'small',
    `create table items as select i as id, md5(i::text) as code, repeat('x', 20) as filler from generate_series(1, 11000) i; alter table items add primary key (id)`,
  );
  for (const name of names) await server.sql('postgres', `create database ${name} template small`);
  const host = await ResurgoHost.create(
    Object.fromEntries(
      names.map((name) => [
        name,
        { type: 'postgres', engine: 'logical', connection: server.url(name), toolsDir: server.pgBin },
      ]),
    ),
  );
  await host.start();
  const dump = new PgDump(server, 'small');
  const events: Sample[] = [];
  const samples = await interleave(
    lab.options.rounds,
    [
      {
        name: 'ours',
        run: async (round) => {
          const workflows: string[] = [];
          const begun = performance.now();
          await pool(names, atOnce, async (target) => {
            workflows.push((await host.backup({ target, kind: 'full' })).workflowId);
          });
          const value = (performance.now() - begun) / 1000;
          if (round === 0) events.push({ value: await longestHistory(host, workflows) });
          return { value };
        },
      },
      {
        name: 'peer',
        run: async () => ({ value: await timed(() => pool(names, 2, (name) => dump.dump('gzip', name))) }),
      },
    ],
    lab.note,
  );
  await host.stop();
  await server.stop();
  await dump.stop();
  const spec = { name: 'small-databases' };
  return [
    measureOf(
      {
        ...spec,
        what: `${String(count)} databases of 1 MB, ${String(atOnce)} at once`,
        unit: 's',
        bar: null,
        peerName: 'pg_dump | gzip, 2 at once',
      },
      samples.get('ours') ?? [],
      samples.get('peer'),
    ),
    measureOf(
      { ...spec, what: 'longest history of one backup, children included', unit: 'events', bar: 199, peerName: null },
      events,
      undefined,
    ),
  ];
}

async function longestHistory(host: ResurgoHost, workflows: readonly string[]): Promise<number> {
  let longest = 0;
  for (const id of workflows.slice(0, 20)) {
    const { events } = await host.client.client.workflow.getHandle(id).fetchHistory();
    const child = events?.find((event) => event.childWorkflowExecutionStartedEventAttributes != null)
      ?.childWorkflowExecutionStartedEventAttributes?.workflowExecution;
    const inner =
      child == null
        ? undefined
        : await host.client.client.workflow.getHandle(child.workflowId ?? '', child.runId ?? undefined).fetchHistory();
    longest = Math.max(longest, (events?.length ?? 0) + (inner?.events?.length ?? 0));
  }
  return longest;
}

async function pool<T>(items: readonly T[], width: number, work: (item: T) => Promise<unknown>): Promise<void> {
  const queue = [...items];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
    }),
  );
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}
