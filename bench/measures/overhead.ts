import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundleWorkflowCode, NativeConnection, Runtime, DefaultLogger, Worker } from '@temporalio/worker';
import type { Lab } from '../lab.ts';
import { cpuSeconds, workerPid } from '../processes.ts';
import { measureOf } from '../report.ts';
import { median } from '../statistics.ts';
import { silently } from '../quiet.ts';
import type { Measure, Sample } from '../types.ts';

const stepsPerRun = 20;

/** What a step costs that does nothing: from the beginning of one activity to the beginning of the next, in a workflow built as ours. */
export async function stepOverhead(lab: Lab): Promise<Measure[]> {
  const host = await lab.idle();
  const { client, connection } = host.client;
  silently(() => Runtime.install({ logger: new DefaultLogger('ERROR') }));
  const bundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../probe/steps.workflow.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
  const native = await NativeConnection.connect({ address: connection.options.address });
  const begins: number[] = [];
  try {
    const worker = await Worker.create({
      connection: native,
      taskQueue: 'bench-steps',
      workflowBundle: bundle,
      activities: {
        nothing: () => {
          begins.push(performance.now());
          return Promise.resolve();
        },
      },
    });
    const samples: Sample[] = [];
    await worker.runUntil(async () => {
      // The first run warms up.
      for (let round = -1; round < lab.options.rounds; round++) {
        begins.length = 0;
        await client.workflow.execute('steps', {
          taskQueue: 'bench-steps',
          workflowId: `bench-steps-${String(round)}-${String(Date.now())}`,
          args: [stepsPerRun],
        });
        if (round >= 0) samples.push({ value: median(begins.slice(1).map((at, i) => at - (begins[i] ?? at))) });
      }
    });
    return [
      measureOf(
        {
          name: 'step-overhead-ms',
          what: `median of ${String(stepsPerRun)} steps that do nothing`,
          unit: 'ms',
          bar: 60,
          peerName: null,
        },
        samples,
        undefined,
      ),
    ];
  } finally {
    await native.close();
  }
}

const idleSeconds = 15;

/** CPU of the worker process while nothing runs, percent of one core. */
export async function idleWorker(lab: Lab): Promise<Measure[]> {
  const host = await lab.idle();
  const worker = await workerPid(host.pid);
  await sleep(5000);
  const samples: Sample[] = [];
  for (let round = 0; round < lab.options.rounds; round++) {
    const [before, begun] = [await cpuSeconds(worker), performance.now()];
    await sleep(idleSeconds * 1000);
    samples.push({ value: (((await cpuSeconds(worker)) - before) / ((performance.now() - begun) / 1000)) * 100 });
    lab.note(`round ${String(round + 1)}: ${samples.at(-1)?.value.toFixed(2) ?? ''} %`);
  }
  return [
    measureOf(
      {
        name: 'idle-worker-cpu',
        what: `worker without work, ${String(idleSeconds)} s each`,
        unit: '% of a core',
        bar: 2,
        peerName: null,
      },
      samples,
      undefined,
    ),
  ];
}

/** From the command to "ready", on a state directory that was used before. */
export async function secondStart(lab: Lab): Promise<Measure[]> {
  const host = await lab.idle();
  const samples: Sample[] = [];
  for (let round = 0; round < lab.options.rounds; round++) {
    await host.shutdown();
    samples.push({ value: await host.start() });
    lab.note(`round ${String(round + 1)}: ${samples.at(-1)?.value.toFixed(2) ?? ''} s`);
  }
  return [
    measureOf(
      {
        name: 'up-second-start',
        what: '`resurgo up` until it is ready, not the first time',
        unit: 's',
        bar: 5,
        peerName: null,
      },
      samples,
      undefined,
    ),
  ];
}
