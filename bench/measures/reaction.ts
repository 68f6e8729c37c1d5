import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readUpState } from '../../client/up-state.ts';
import { lockIds } from '../../domain/ids.ts';
import { alertmanagerBody, postAlerts } from '../../test/support/alerts.ts';
import { tempDir } from '../../test/support/index.ts';
import type { Lab } from '../lab.ts';
import { measureOf } from '../report.ts';
import { ResurgoHost } from '../resurgo-host.ts';
import { median } from '../statistics.ts';
import type { Measure, Sample } from '../types.ts';

/** Alerts of a round, one after the other. */
const perRound = 20;
const token = 'a-token-of-the-benchmark';

/**
 * From an alert's webhook to the first action of its plan: gateway, incident, plan, program. The program itself notes when it runs. Embedded server, one alert at a time,
 * each of another service, as after a quiet night.
 */
export async function webhookToAction(lab: Lab): Promise<Measure[]> {
  const work = tempDir('reaction');
  const log = join(work.path, 'log');
  const host = await ResurgoHost.create(
    { nothing: { type: 'postgres', engine: 'logical', connection: 'postgres://postgres@127.0.0.1:1/postgres' } },
    {
      plans: { note: { steps: [{ id: 'note', uses: 'exec', with: { command: ['/bin/sh', '-c', `date +%s%N >> '${log}'`] } }] } },
      webhooks: [{ name: 'bench', format: 'alertmanager', token, rules: [{ match: { alertname: 'Bench' }, plan: 'note' }] }],
    },
  );
  try {
    await host.start();
    const gateway = (await readUpState(host.stateDir))?.gateway;
    if (gateway === undefined) throw new Error(`resurgo up has no gateway:\n${host.log()}`);
    const { client } = host.client;
    const lines = (): number[] => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').filter(Boolean).map((line) => Number(line) / 1e6) : []);
    const react = async (service: string): Promise<number> => {
      const before = lines().length;
      const sent = performance.timeOrigin + performance.now();
      const answer = await postAlerts(gateway, 'bench', alertmanagerBody({ name: 'Bench', labels: { service } }), { authorization: `Bearer ${token}` });
      if (answer.status !== 202) throw new Error(`the webhook was answered ${String(answer.status)}: ${await answer.text()}`);
      const until = Date.now() + 60_000;
      while (lines().length === before) {
        if (Date.now() > until) throw new Error(`no action within a minute:\n${host.log()}`);
        await sleep(5);
      }
      const acted = lines().at(-1) as number;
      // One run of a plan at a time: the next alert waits for the end of this one.
      while ((await client.workflow.getHandle(lockIds.plan('note')).describe()).status.name === 'RUNNING') {
        if (Date.now() > until) throw new Error('the plan does not end');
        await sleep(20);
      }
      return acted - sent;
    };
    await react('warm-up');
    const medians: Sample[] = [];
    const worst: Sample[] = [];
    for (let round = 0; round < lab.options.rounds; round++) {
      const took: number[] = [];
      for (let i = 0; i < perRound; i++) took.push(await react(`${String(i)}-${String(round)}`));
      medians.push({ value: median(took) });
      worst.push({ value: Math.max(...took) });
      lab.note(`round ${String(round + 1)}: median ${median(took).toFixed(0)} ms, worst ${Math.max(...took).toFixed(0)} ms`);
    }
    return [
      measureOf({ name: 'webhook-to-action-ms', what: `webhook to first action, median of ${String(perRound)}`, unit: 'ms', bar: 500, peerName: null }, medians, undefined),
      // With 20 a round the worst one stands for the 99th percentile.
      measureOf({ name: 'webhook-to-action-worst-ms', what: `the same, worst of ${String(perRound)}`, unit: 'ms', bar: 1500, peerName: null }, worst, undefined),
    ];
  } finally {
    await host.stop();
    await work.stop();
  }
}
