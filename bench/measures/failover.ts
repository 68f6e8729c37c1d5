import { setTimeout as sleep } from 'node:timers/promises';
import { postmasterOf, startFailoverLab } from '../../test/support/failover-lab.ts';
import type { Lab } from '../lab.ts';
import { measureOf } from '../report.ts';
import type { Measure, Sample } from '../types.ts';

const least = 10;

/** From SIGKILL of the primary until a client that asks DNS has had a write acknowledged by the next one; probes 3 × 500 ms, nobody asks for it. */
export async function failover(lab: Lab): Promise<Measure[]> {
  lab.note('starting a cluster, a name server and Temporal');
  const its = await startFailoverLab();
  const samples: Sample[] = [];
  try {
    // The first round warms up.
    for (let round = -1; round < Math.max(least, lab.options.rounds); round++) {
      const from = (await its.ready()).primary ?? '';
      await sleep(Math.random() * 500);
      const since = performance.now();
      process.kill(postmasterOf(its.cluster.member(from).dataDir), 'SIGKILL');
      const { tookMs, to } = await its.untilWritable(from, since);
      if (round >= 0) samples.push({ value: tookMs / 1000 });
      lab.note(`failover ${String(round + 1)}: ${(tookMs / 1000).toFixed(2)} s`);
      await its.until(({ failover: last, primary }) => last?.outcome != null && primary === to);
      await its.rejoin(from);
    }
  } finally {
    await its.stop();
  }
  const worst = Math.max(...samples.map(({ value }) => value));
  return [
    measureOf(
      { name: 'failover', what: `SIGKILL → watch → fence → promote → DNS → write, ${String(samples.length)} times`, unit: 's', bar: 5, peerName: null, reason: 'Patroni needs a consensus store beside it; with its defaults (ttl 30) it took 28 s on such a machine', note: `worst ${worst.toFixed(2)} s, wanted at most 10 s` },
      samples,
      undefined,
    ),
  ];
}
