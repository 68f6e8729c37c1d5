/** A stack for game days: a database worth restoring, plans that do what plans do, and a program that notes when production is reached. */
import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { drillsLeft, drillTemporary } from './drill-left.ts';
import { startPostgres, type PostgresServer } from './postgres.ts';
import { runCli, type CliRun } from './run-cli.ts';
import { startStack, type Stack } from './stack.ts';

export interface GameDayStack {
  readonly stack: Stack;
  readonly server: PostgresServer;
  /** Lines written by whatever would have reached production. */
  touched(): string[];
  /** Everything in the repository but evidence. */
  repository(): string[];
  /** No trace of a sandbox, and production as it was. */
  nothingLeft(): Promise<void>;
  cli(...args: string[]): Promise<CliRun>;
  stop(): Promise<void>;
}

export async function startGameDayStack(): Promise<GameDayStack> {
  const temporary = drillTemporary();
  const server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', `create table orders(id bigint generated always as identity primary key, note text, at timestamptz not null);
    insert into orders(note, at) select md5(i::text), now() - interval '1 hour' + i * interval '0.1 second' from generate_series(1, 5000) i;`);
  // Beside the data directory: what is built there belongs to the server's user.
  const place = join(server.dataDir, '..');
  const tool = join(server.socketDir, 'touch.sh');
  const restore = { id: 'restore', uses: 'restore', with: { target: 'shop' } };
  const ask = { id: 'ask', uses: 'postgres.validate', with: { target: 'shop', writes: true, queries: ['select count(*) = 5000 from orders'] } };
  const touch = (id: string): object => ({ id, uses: 'exec', with: { command: [tool, id], compensate: [tool, `undo-${id}`] } });
  const stack = await startStack({
    env: { TMPDIR: temporary },
    targets: {
      shop: { type: 'postgres', engine: 'physical', connection: server.url('shop'), dataDir: server.dataDir, toolsDir: server.pgBin, service: { stop: [tool, 'stop-hook'], start: [tool, 'start-hook'] } },
      orders: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin, jobs: 2, staging: place },
      media: { type: 'files', paths: ['/srv/none'] },
    },
    sections: {
      drills: [{ target: 'shop', checks: [{ name: 'all orders', sql: 'select count(*) = 5000 from orders' }], marker: 'select max(at) from orders', integrity: 'quick' }],
      approvers: { ann: { token: 'anns-own-token-of-24-chars' } },
      plans: {
        recover: {
          steps: [
            touch('tell-cdn'),
            { ...restore, approval: { from: ['ann'], within: '1h' } },
            touch('flush'),
            { ...ask, verify: { uses: 'http.ok', with: { url: 'http://127.0.0.1:1/health' } } },
            { id: 'pause', uses: 'wait', with: { for: '1s' } },
          ],
        },
        start: { steps: [{ id: 'start', uses: 'service.start', with: { name: 'postgresql' } }, ask] },
        useless: { steps: [{ id: 'look', uses: 'exec', with: { command: [tool, 'useless'] } }] },
        broken: { steps: [restore, { id: 'fail', uses: 'postgres.validate', with: { target: 'shop', queries: ['select false'] }, timeout: '3s', retries: 0 }] },
        slow: { steps: [restore, { id: 'pause', uses: 'wait', with: { for: '10m' } }] },
        'recover-orders': { steps: [{ id: 'restore', uses: 'restore', with: { target: 'orders' } }, { id: 'elsewhere', uses: 'restore', with: { target: 'shop' } }] },
      },
      gamedays: [
        { plan: 'recover', target: 'shop', disaster: 'table-dropped', table: 'orders', run: ['flush'], schedule: '0 6 1 * *' },
        { plan: 'start', target: 'shop', disaster: 'server-killed', services: ['postgresql'] },
      ],
    },
  });
  const note = join(stack.dir, 'touched');
  writeFileSync(tool, `#!/bin/sh\necho "$1 $DATABASE_URL" >> '${note}'\n`);
  chmodSync(tool, 0o755);
  await stack.startWorker();
  await stack.run('backup', { target: 'shop' });
  await stack.run('backup', { target: 'orders' });
  return {
    stack,
    server,
    touched: () => (existsSync(note) ? readFileSync(note, 'utf8').trim().split('\n') : []),
    repository: () => (readdirSync(join(stack.dir, 'repo'), { recursive: true }) as string[]).filter((name) => !name.startsWith('evidence')).sort(),
    nothingLeft: async () => {
      expect(await drillsLeft(stack, [place, temporary])).toEqual([]);
      expect((await server.sql<{ n: number }>('shop', 'select count(*)::int as n from orders'))[0]?.n).toBe(5000);
    },
    cli: (...args) => runCli(args, { cwd: stack.dir, env: { TEMPORAL_ADDRESS: stack.temporal.address, TMPDIR: temporary } }),
    stop: async () => {
      await stack.stop();
      await server.stop();
      rmSync(temporary, { recursive: true, force: true });
    },
  };
}
