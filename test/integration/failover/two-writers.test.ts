/** P3 as clients see it from outside: they write to every address all the time. The numbers: test/soak/failover.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { signalAll, startFailoverLab, superviseBy, postmasterOf, type FailoverLab, type OutsideWriters } from '../../support/failover-lab.ts';
import { stopAll } from '../../support/index.ts';
import { clusterProcesses } from '../../support/postgres-cluster.ts';
import { sleep } from '../../support/server-process.ts';

let lab: FailoverLab;
let writers: OutsideWriters;
beforeAll(async () => {
  lab = await startFailoverLab({ standbys: 2, synchronous: 'ANY 1 (*)', failover: { timeout: '1s', hangTimeout: '5s' } });
  writers = lab.writers(2);
}, 400_000);
afterAll(async () => {
  await writers.stop();
  await lab.stop();
  await stopAll();
});

describe('P3 nobody ever sees two primaries, and nothing acknowledged is lost', () => {
  test('P3 the primary is killed under load, and its supervisor starts it again and again', async () => {
    await writers.acked('a', 30);
    const { dataDir } = lab.cluster.member('a');
    const supervisor = superviseBy(lab, 'a');
    const since = performance.now();
    process.kill(postmasterOf(dataDir), 'SIGKILL');
    const { to } = await lab.untilWritable('a', since);
    await writers.acked(to, 10);
    supervisor.stop();
    const acks = [...writers.acks];
    expect(supervisor.starts()).toBeGreaterThan(0);
    expect(acks.filter(({ member }) => member === 'a').length).toBeGreaterThan(20);
    expect(acks.filter(({ member }) => member === to).length).toBeGreaterThan(0);
    expect(writers.overlaps('a', to)).toEqual([]);
    expect(await writers.missingOn(lab.cluster.member(to), acks)).toEqual([]);
    await lab.until(({ failover }) => failover?.outcome != null);
    await lab.rejoin('a');
  }, 400_000);

  test('P3 the primary is paused, and goes on once another has taken over', async () => {
    const from = (await lab.ready()).primary ?? '';
    const { dataDir } = lab.cluster.member(from);
    writers.forget();
    await writers.acked(from, 30);
    const since = performance.now();
    signalAll(dataDir, 'SIGSTOP');
    const { to } = await lab.untilWritable(from, since);
    signalAll(dataDir, 'SIGCONT');
    await sleep(1500);
    const acks = [...writers.acks];
    expect(acks.filter(({ member }) => member === from).length).toBeGreaterThan(20);
    expect(writers.overlaps(from, to)).toEqual([]);
    expect(clusterProcesses(dataDir)).toEqual([]);
    expect(await writers.missingOn(lab.cluster.member(to), acks)).toEqual([]);
  }, 400_000);
});
