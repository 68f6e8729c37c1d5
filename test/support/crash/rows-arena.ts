/** Tables whose rows are archived (B14) and restored as data sets (B6), for workers that die. */
import pg from 'pg';
import { expect } from 'vitest';
import type { ArchiveResult } from '../../../domain/archive.ts';
import { fetchArchived } from '../../../client/archive/fetch.ts';
import type { StartedRun } from '../../../client/operations.ts';
import { type PostgresServer, startPostgres } from '../index.ts';
import { startStack, type Stack } from '../stack.ts';
import type { CrashPlan } from './plan.ts';

export class RowsArena {
  readonly server: PostgresServer;
  readonly db: pg.Client;
  readonly stack: Stack;
  private checks = 0;

  constructor(server: PostgresServer, db: pg.Client, stack: Stack) {
    this.server = server;
    this.db = db;
    this.stack = stack;
  }

  /** 500 rows that are due, and are from now on to be live or archived. */
  async fill(): Promise<void> {
    const first = 1000 * this.checks;
    await this.db.query(`with made as (insert into events select ${String(first)} + g, timestamptz '2026-01-01' + g * interval '1 minute', 'n' || g from generate_series(1, 500) g returning *) insert into everything select * from made`);
  }

  /** What is live and what is archived, together, is everything that ever was, each row once; and nothing is live. */
  async assertOnce(): Promise<void> {
    const name = `back_${String(++this.checks)}`;
    const { warnings } = await fetchArchived(this.stack.loaded, { target: 'orders', from: '2000-01-01', to: '2100-01-01', format: 'csv', scratchTable: name, signal: new AbortController().signal, onNote: () => undefined });
    expect(warnings).toEqual([]);
    const { rows } = await this.db.query<{ lost: number; twice: number; live: number }>(
      `with now as (table events union all table ${name}) select (select count(*)::int from (table everything except all table now) x) as lost, (select count(*)::int from (table now except all table everything) x) as twice, (select count(*)::int from events) as live`,
    );
    expect(rows[0]).toEqual({ lost: 0, twice: 0, live: 0 });
  }

  /** Starts an archive run and returns when its worker has died there. */
  async die(plan: CrashPlan): Promise<StartedRun<ArchiveResult>> {
    const { stack } = this;
    if (!stack.workerRuns) await stack.startWorker();
    stack.arm(plan);
    const run = await stack.start('archive', { target: 'orders' });
    await this.untilDead(run);
    return run;
  }

  /** @throws when the run ended without the worker's death: a plan that is never reached tests nothing */
  private async untilDead(run: StartedRun<unknown>): Promise<void> {
    const ended = run.handle.result().then(() => 'the run ended', (error: unknown) => `the run ended: ${String(error)}`);
    const first = await Promise.race([ended, this.stack.workerDeath().then(() => 'dead')]);
    if (first === 'dead' && this.stack.crashed) return;
    this.stack.disarm();
    throw new Error(`the worker did not die there: ${first}`);
  }

  async goesOn(plan: CrashPlan): Promise<void> {
    await this.fill();
    const run = await this.die(plan);
    await this.stack.startWorker();
    expect(await this.stack.resultOf(run)).toMatchObject({ status: 'archived', deletedRecords: 500, archivedRecords: 500, keptRecords: 0, errors: [] });
    await this.assertOnce();
  }

  async forgotten(plan: CrashPlan): Promise<void> {
    await this.fill();
    const run = await this.die(plan);
    const { client } = await this.stack.client();
    await client.workflow.getHandle('op/orders').terminate('lost');
    await run.handle.terminate('lost').catch(() => undefined);
    await this.stack.startWorker();
    const next = await this.stack.run('archive', { target: 'orders' });
    expect(next).toMatchObject({ status: 'archived', errors: [] });
    expect(next.warnings.join()).toMatch(/earlier runs that died were (finished|withdrawn)/);
    await this.assertOnce();
  }

  async restoredWhole(plan: CrashPlan): Promise<void> {
    const { db, stack } = this;
    if (!stack.workerRuns) await stack.startWorker();
    await db.query('truncate people, visits; insert into people select generate_series(1, 50); insert into visits select g, 1 + g % 50 from generate_series(1, 300) g');
    await stack.run('backup', { target: 'sets' });
    await db.query('delete from visits where id > 7; delete from people where id > 40; insert into visits values (999, 3)');
    const left = await this.counts();
    stack.arm(plan);
    const run = await stack.start('restore', { target: 'sets', mode: 'in-place' });
    await this.untilDead(run);
    expect([left, '50 300']).toContain(await this.counts());
    await stack.startWorker();
    const restored = await stack.resultOf(run);
    expect(restored).toMatchObject({ status: 'restored', restoredRecords: 350 });
    expect(await this.counts()).toBe('50 300');
    await stack.run('finishRestore', { target: 'sets', id: restored.id, action: 'rollback' });
    expect(await this.counts()).toBe(left);
  }

  private async counts(): Promise<string> {
    const { rows } = await this.db.query<{ counts: string }>(`select (select count(*) from people) || ' ' || (select count(*) from visits) as counts`);
    return rows[0]?.counts ?? '';
  }

  async stop(): Promise<void> {
    await this.stack.stop();
    await this.db.end();
  }
}

export async function startRows(): Promise<RowsArena> {
  const server = await startPostgres();
  const db = new pg.Client({ connectionString: server.url() });
  await db.connect();
  await db.query(`create table events (id int, at timestamptz, note text); create table everything (id int, at timestamptz, note text);
    create table people (id int primary key); create table visits (id int primary key, person int references people)`);
  const stack = await startStack({
    targets: {
      orders: { type: 'postgres', engine: 'logical', connection: server.url() },
      sets: { type: 'dataset', connection: server.url(), schemaVersion: 1, sets: { people: { tables: ['people', 'visits'] } } },
    },
    repositories: { local: { type: 'disk', path: './repo' }, second: { type: 'disk', path: './second' } },
    sections: { archives: [{ target: 'orders', tables: { events: { column: 'at' } }, after: '30d', batch: 300 }] },
  });
  return new RowsArena(server, db, stack);
}

export const deleting = (operation: 'sql' | 'put', match: string, more: Partial<CrashPlan> = {}): CrashPlan => ({ activity: 'deleteArchived', when: 'inside', operation, match, afterwards: true, ...more });
export const swapping = (match: string): CrashPlan => ({ activity: 'swapIn', when: 'inside', operation: 'sql', match, afterwards: true });
