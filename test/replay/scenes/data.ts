import { startPostgres } from '../../support/index.ts';
import { startStack } from '../../support/stack.ts';
import type { Recorder } from '../record.ts';

/** Backups, restores and a verification, well and refused. */
export async function data({ save, hide }: Recorder): Promise<void> {
  const server = await startPostgres({});
  hide(server.pgBin, '/usr/lib/postgresql/18/bin');
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', 'create table t(a int primary key); insert into t select generate_series(1, 1000)');
  const stack = await startStack({
    targets: {
      shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin },
      orders: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin },
    },
  });
  await stack.startWorker();
  const run = async (type: 'backup' | 'restore' | 'verify', input: never): Promise<string> => {
    const started = await stack.start(type, input);
    await started.follow(() => undefined).catch(() => undefined);
    return started.workflowId;
  };
  await save(stack, await run('backup', { target: 'shop' } as never), 'backup');
  await save(stack, 'op/shop', 'backup-operation-full');
  await run('backup', { target: 'shop', kind: 'incremental' } as never);
  await save(stack, 'op/shop', 'backup-operation-incremental');
  await save(stack, await run('backup', { target: 'nope' } as never), 'backup-refused');
  await run('backup', { target: 'orders' } as never);
  await save(stack, 'op/orders', 'backup-operation-logical');
  await save(stack, await run('restore', { target: 'orders', mode: 'beside', to: 'copy' } as never), 'restore');
  await save(stack, 'restore/orders', 'restore-operation-beside');
  await run('restore', { target: 'orders', mode: 'in-place' } as never);
  await save(stack, 'op/orders', 'restore-run-in-place');
  await run('restore', { target: 'orders', mode: 'in-place' } as never);
  await save(stack, 'op/orders', 'restore-run-refused');
  await save(stack, await run('verify', { target: 'orders', deep: true } as never), 'verify');
  await stack.stop();
}
