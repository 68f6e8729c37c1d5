import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { groupAlerts, temporalSubmit } from '../../../client/gateway/submit.ts';
import { lockIds } from '../../../domain/ids.ts';
import { startPostgres } from '../../support/index.ts';
import { sleep } from '../../support/server-process.ts';
import { startStack } from '../../support/stack.ts';
import type { Recorder } from '../record.ts';

/** Plans (well, rolled back, refused), an incident, a WAL archive, a drill, upkeep, pruning, monitors. */
export async function operations({ save, saveTypes, hide }: Recorder): Promise<void> {
  const server = await startPostgres({ dataChecksums: true });
  hide(server.pgBin, '/usr/lib/postgresql/18/bin');
  hide(server.socketDir, '/run/postgresql');
  const place = join(server.socketDir, 'drills');
  mkdirSync(place, { mode: 0o777 });
  const exec = (id: string, ...command: string[]): object => ({ id, uses: 'exec', with: { command } });
  const stack = await startStack({
    targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, staging: place, wal: true, walFlush: '500ms' } },
    sections: {
      retention: [{ last: 1 }],
      drills: [{ target: 'shop', directory: place, checks: [{ sql: 'select 1', equals: '1' }] }],
      plans: {
        well: { steps: [exec('one', '/bin/true'), { ...exec('two', '/bin/true'), needs: ['one'] }] },
        'rolled-back': { steps: [{ ...exec('one', '/bin/true'), compensate: { uses: 'exec', with: { command: ['/bin/true'] } } }, { ...exec('two', '/bin/false'), needs: ['one'] }] },
      },
      monitors: [{ name: 'down', http: 'http://127.0.0.1:9/', every: '1s', failures: 2, plan: 'well' }],
      incidents: { cooldown: '1s' },
    },
  });
  await stack.startWorker();
  const { client } = await stack.client();
  const plan = async (name: string): Promise<string> => {
    const started = await stack.start('recover', { plan: name });
    await started.follow(() => undefined).catch(() => undefined);
    return started.workflowId;
  };
  await stack.run('backup', { target: 'shop' });
  await stack.run('backup', { target: 'shop' });
  await save(stack, await plan('well'), 'recover-completed');
  await save(stack, lockIds.plan('well'), 'plan-run-completed');
  await save(stack, await plan('rolled-back'), 'recover-rolled-back');
  await save(stack, lockIds.plan('rolled-back'), 'plan-run-rolled-back');
  await save(stack, await plan('no-such-plan'), 'recover-refused');
  const [group] = groupAlerts([{ schemaVersion: 1, key: 'k', identity: 'k', status: 'firing', name: 'Down', description: 'it is down', labels: {}, startsAt: null, conditions: [], tracks: true, source: 'webhook/am', severity: 'high', type: 'service', service: 'api', plan: ['well'] }]);
  if (group !== undefined) await temporalSubmit(client, { deadlineMs: 10_000 })(group);
  for (const type of ['drill', 'prune', 'upkeep'] as const) await stack.run(type, { target: 'shop', ...(type === 'prune' ? { repositories: ['local'] } : {}) }).catch((error: unknown) => process.stdout.write(`${type}: ${String(error)}\n`));
  // The monitor's incident opens, its plan runs, people are told.
  await sleep(8000);
  await saveTypes(stack, ['backup', 'backupOperation', 'recover', 'planRun', 'verify', 'restore']);
  await stack.stop();
}
