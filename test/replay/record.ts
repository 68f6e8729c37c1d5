/**
 * Records histories for the replay test: `node test/replay/record.ts <release>`. Run it on a released version, never on a branch under test:
 * what is recorded here is what running workflows of users look like.
 */
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { checkout, startPostgres, stopAll } from '../support/index.ts';
import { startStack } from '../support/stack.ts';

const release = process.argv[2];
if (release === undefined) throw new Error('usage: node test/replay/record.ts <release>');
const folder = new URL('./histories/', import.meta.url).pathname;

const server = await startPostgres({});
await server.sql('postgres', 'create database shop');
await server.sql('shop', 'create table t(a int primary key); insert into t select generate_series(1, 1000)');
const stack = await startStack({
  targets: {
    shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin },
    orders: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin },
  },
});
await stack.startWorker();
const { client } = await stack.client();

/** Saves the history of a workflow id, its latest run. */
async function save(workflowId: string, name: string): Promise<void> {
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  // Whose machine recorded it is nobody's business.
  const text = JSON.stringify(JSON.parse(historyToJSON(history)), null, 1).replaceAll(hostname(), 'recorder').replaceAll(stack.dir, '/srv/resurgo').replaceAll(server.pgBin, '/usr/lib/postgresql/18/bin').replaceAll(checkout, '/opt/resurgo');
  writeFileSync(join(folder, `${release}-${name}.json`), `${text}\n`);
  process.stdout.write(`${release}-${name}: ${String(history.events?.length ?? 0)} events\n`);
}

const run = async (type: 'backup' | 'restore' | 'verify', input: never): Promise<string> => {
  const started = await stack.start(type, input);
  await started.follow(() => undefined).catch(() => undefined);
  return started.workflowId;
};
await save(await run('backup', { target: 'shop' } as never), 'backup');
await save('op/shop', 'backup-operation-full');
await run('backup', { target: 'shop', kind: 'incremental' } as never);
await save('op/shop', 'backup-operation-incremental');
await save(await run('backup', { target: 'nope' } as never), 'backup-refused');
await run('backup', { target: 'orders' } as never);
await save('op/orders', 'backup-operation-logical');
await save(await run('restore', { target: 'orders', mode: 'beside', to: 'copy' } as never), 'restore');
await save('restore/orders', 'restore-operation-beside');
await run('restore', { target: 'orders', mode: 'in-place' } as never);
await save('op/orders', 'restore-run-in-place');
await run('restore', { target: 'orders', mode: 'in-place' } as never);
await save('op/orders', 'restore-run-refused');
await save(await run('verify', { target: 'orders', deep: true } as never), 'verify');
await stack.stop();
await stopAll();
process.exit(0);
