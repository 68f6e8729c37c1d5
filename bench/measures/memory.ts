import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres } from '../../test/support/index.ts';
import { fillDatabase, serverSettings } from '../database.ts';
import { targetsOf, type Lab } from '../lab.ts';
import { proportionalBytes, workerPid } from '../processes.ts';
import { measureOf } from '../report.ts';
import { ResurgoHost } from '../resurgo-host.ts';
import type { Measure, Sample } from '../types.ts';

const everyMs = 150;
/** Without a lower value for so long, the worker is idle. */
const settleMs = 25_000;

/** Highest PSS of the worker and its children while `work` runs, MB above the idle worker. */
async function peakAbove(worker: number, idleBytes: number, work: () => Promise<unknown>): Promise<number> {
  const ended = new AbortController();
  let peak = 0;
  const watch = (async () => {
    while (!ended.signal.aborted) {
      peak = Math.max(peak, await proportionalBytes(worker));
      await sleep(everyMs);
    }
  })();
  try {
    await work();
  } finally {
    ended.abort();
    await watch;
  }
  return (peak - idleBytes) / 1e6;
}

/** Memory of the worker once the garbage of its start is gone: a baseline that still had it would hide as much of what comes later. */
async function settled(worker: number): Promise<number> {
  let lowest = Infinity;
  for (let since = 0; since < settleMs; since += 1000) {
    await sleep(1000);
    const bytes = await proportionalBytes(worker);
    if (bytes < lowest * 0.98) since = 0;
    lowest = Math.min(lowest, bytes);
  }
  return lowest;
}

interface Peaks {
  readonly backup: Sample[];
  readonly restore: Sample[];
  readonly logical: Sample[];
}

/** Each round on a fresh worker: memory that an earlier round left must not count as idle. */
async function peaksFor(lab: Lab, sizeMb: number): Promise<Peaks> {
  const server = await startPostgres(serverSettings);
  lab.note(`filling a database of ${String(sizeMb)} MB`);
  await fillDatabase(server, sizeMb);
  const peaks: Peaks = { backup: [], restore: [], logical: [] };
  for (let round = 0; round < lab.options.rounds; round++) {
    const host = await ResurgoHost.create(targetsOf(server));
    await host.start();
    const worker = await workerPid(host.pid);
    const idle = await settled(worker);
    const measure = async (into: Sample[], work: () => Promise<unknown>): Promise<void> => {
      into.push({ value: await peakAbove(worker, idle, work) });
      await sleep(1000);
    };
    await measure(peaks.backup, () => host.backup({ target: 'physical', kind: 'full' }));
    await measure(peaks.restore, async () => {
      const directory = host.directory('restored');
      await host.restore({ target: 'physical', mode: 'beside', to: directory.path });
      await directory.stop();
    });
    await measure(peaks.logical, () => host.backup({ target: 'logical', kind: 'full' }));
    lab.note(
      `round ${String(round + 1)}: idle ${(idle / 1e6).toFixed(0)} MB; above it: ${Object.entries(peaks)
        .map(([name, samples]) => `${name} ${(samples as Sample[]).at(-1)?.value.toFixed(0) ?? ''}`)
        .join(', ')}`,
    );
    await host.stop();
  }
  await server.stop();
  return peaks;
}

/** Memory of worker and children above the idle worker; with `--only worker-rss-mb` also that a database four times as large needs no more. */
export async function workerMemory(lab: Lab): Promise<Measure[]> {
  // Its own worker per round: what others keep in memory is none of its business.
  await lab.end('shared');
  await lab.end('newest');
  await lab.end('idle');
  const small = await peaksFor(lab, lab.options.size);
  const large = lab.options.only.includes('worker-rss-mb') ? await peaksFor(lab, lab.options.size * 4) : undefined;
  const kinds = [
    ['backup', 'physical backup'],
    ['restore', 'physical restore'],
    ['logical', 'logical backup'],
  ] as const;
  return kinds.flatMap(([kind, what]) => [
    measureOf(
      { name: 'worker-rss-mb', what: `${what}: peak above idle`, unit: 'MB', bar: 250, peerName: null },
      small[kind],
      undefined,
    ),
    ...(large === undefined
      ? []
      : [
          measureOf(
            {
              name: 'worker-rss-mb',
              what: `${what}: database of ${String(lab.options.size * 4)} MB`,
              unit: 'MB',
              bar: 1.1,
              peerName: `of ${String(lab.options.size)} MB`,
            },
            large[kind],
            small[kind],
          ),
        ]),
  ]);
}
