import { setTimeout as sleep } from 'node:timers/promises';
import { postmasterOf, startFailoverLab } from '../../test/support/failover-lab.ts';
import type { Lab } from '../lab.ts';
import { ensurePatroni, PatroniCluster, patroniName } from '../peers/patroni.ts';
import { measureOf } from '../report.ts';
import type { Measure, Sample } from '../types.ts';

const least = 10;

/** From SIGKILL of the primary until a client that asks DNS has had a write acknowledged by the next one; probes 3 × 500 ms, nobody asks for it. */
export async function failover(lab: Lab): Promise<Measure[]> {
  const absent = await ensurePatroni(lab.note);
  lab.note('starting a cluster, a name server and Temporal');
  const its = await startFailoverLab();
  const samples: Sample[] = [];
  const others: Sample[] = [];
  let patroni: PatroniCluster | undefined;
  try {
    if (absent === undefined) patroni = await PatroniCluster.start();
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
      if (patroni === undefined) continue;
      const old = await patroni.ready();
      await sleep(Math.random() * 1000);
      const begun = performance.now();
      patroni.kill(old);
      // In its favour: the client knows both addresses and asks them all the time; no name has to move.
      await patroni.primary(120_000);
      const seconds = (performance.now() - begun) / 1000;
      if (round >= 0) others.push({ value: seconds });
      lab.note(`Patroni ${String(round + 1)}: ${seconds.toFixed(2)} s`);
    }
  } finally {
    await patroni?.stop();
    await its.stop();
  }
  const worst = Math.max(...samples.map(({ value }) => value));
  return [
    measureOf(
      { name: 'failover', what: `SIGKILL → watch → fence → promote → DNS → write, ${String(samples.length)} times`, unit: 's', bar: 5, peerName: null, note: `worst ${worst.toFixed(2)} s, wanted at most 10 s` },
      samples,
      undefined,
    ),
    measureOf(
      {
        name: 'failover-beside-patroni', what: 'the same, beside Patroni: the postmaster dies, its host lives', unit: 's', bar: null, peerName: patroniName,
        ...(absent === undefined ? { note: 'with the defaults of Patroni (it waits for the dead server) 28 s on such a machine' } : { reason: absent }),
      },
      samples,
      absent === undefined ? others : undefined,
    ),
  ];
}
