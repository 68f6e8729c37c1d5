import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import type { Config } from '../../../config/schema.ts';
import { desiredSchedules } from '../../../client/schedules/desired.ts';
import { recipient } from '../config/bad-configs.ts';

const parse = (rest: string): Config =>
  parseConfig(
    `version: 1\nencryption: { recipients: [${recipient}] }\nrepositories: { local: { type: disk, path: ./r }, remote: { type: disk, path: ./s } }\n` +
      `targets:\n  shop: { type: postgres, engine: physical, connection: "postgres://h/d" }\n  orders: { type: postgres, engine: logical, connection: "postgres://h/d" }\n${rest}\n`,
    { shown: 'resurgo.yaml', dir: '/', env: {} },
  );

describe('B12 schedules the configuration asks for', () => {
  test('one per policy and target, numbered by kind; none without a schedule; skip unless told', () => {
    const desired = desiredSchedules(parse(`policies:
  - { targets: [shop, orders], schedule: '0 2 * * *', timezone: Asia/Seoul, jitter: 10m, catchup: 2h }
  - { targets: [shop], kind: incremental, schedule: '0 */4 * * *', overlap: wait, paused: moving house }
  - { targets: [shop], schedule: '@weekly' }
  - { targets: [shop], kind: differential }\nupkeep: { enabled: false }`));
    expect(desired.map(({ id }) => id)).toEqual(['resurgo/shop/full/1', 'resurgo/orders/full/1', 'resurgo/shop/incremental/1', 'resurgo/shop/full/2']);
    expect(desired[0]).toMatchObject({ workflow: 'backup', taskQueue: 'resurgo', timezone: 'Asia/Seoul', jitter: 600_000, catchup: 7_200_000, overlap: 'SKIP', input: { target: 'shop', kind: 'full', onBusy: 'skip', startedBy: 'schedule' } });
    expect(desired[2]).toMatchObject({ overlap: 'BUFFER_ONE', paused: 'moving house', catchup: 3_600_000, input: { onBusy: 'wait' }, calendars: [{ minute: [0], hour: [0, 4, 8, 12, 16, 20] }] });
    expect(desired[3]?.calendars).toMatchObject([{ minute: [0], hour: [0], dayOfWeek: [0] }]);
  });

  test('D2 game days by plan and target', () => {
    const [one, ...rest] = desiredSchedules(parse(`plans: { p: { steps: [{ id: a, uses: wait, with: { for: 1s } }] } }
gamedays: [{ plan: p, target: shop, disaster: data-lost, schedule: '@monthly', timezone: Asia/Seoul, paused: later }, { plan: p, target: orders, disaster: server-killed }]`)).filter(({ workflow }) => workflow === 'gameday');
    expect(rest).toEqual([]);
    expect(one).toMatchObject({ id: 'resurgo/shop/gameday/p', target: 'shop', input: { plan: 'p', target: 'shop', startedBy: 'schedule' }, timezone: 'Asia/Seoul', overlap: 'SKIP', paused: 'later' });
  });

  test('day of month or day of week: either is enough, as cron is known', () => {
    const [one] = desiredSchedules(parse(`policies: [{ targets: [shop], schedule: '0 2 1 * mon' }]`));
    expect(one?.calendars.map(({ dayOfMonth, dayOfWeek }) => [dayOfMonth.length, dayOfWeek.length])).toEqual([[1, 7], [31, 1]]);
  });

  test('a daily prune where a retention rule applies, of those repositories only', () => {
    const desired = desiredSchedules(parse('retention: [{ targets: [shop], repositories: [local], last: 3 }]'));
    expect(desired).toMatchObject([{ id: 'resurgo/shop/prune/1', workflow: 'prune', input: { target: 'shop', repositories: ['local'], onBusy: 'wait' } }]);
  });

  test('B8 what is backed up by schedule is kept whole by schedule, unless that is switched off', () => {
    expect(desiredSchedules(parse(`policies: [{ targets: [shop], schedule: '0 1 * * *' }]\nupkeep: { schedule: '5 3 * * *' }`))).toMatchObject([{ id: 'resurgo/shop/full/1' }, { id: 'resurgo/shop/upkeep/1', workflow: 'upkeep', cron: '5 3 * * *', input: { target: 'shop' } }]);
    expect(desiredSchedules(parse(`policies: [{ targets: [shop] }]`))).toEqual([]);
  });

  test('presets: each target gets what its engine can', () => {
    const ids = (preset: string): string[] => desiredSchedules(parse(`policies: [{ targets: [shop, orders], preset: ${preset} }]\nupkeep: { enabled: false }`)).map(({ id, cron }) => `${id.slice(8)} ${cron}`);
    expect(ids('daily')).toEqual(['shop/full/1 0 2 * * *', 'shop/incremental/1 0 */4 * * *', 'orders/full/1 0 2 * * *']);
    expect(ids('weekly')).toEqual(['shop/full/1 0 2 * * 0', 'shop/differential/1 0 2 * * 1-6', 'shop/incremental/1 30 * * * *', 'orders/full/1 0 2 * * *']);
    expect(ids('hourly')).toEqual(['shop/full/1 0 2 * * *', 'shop/incremental/1 30 * * * *', 'orders/full/1 0 * * * *']);
    expect(() => parse(`policies: [{ targets: [shop], preset: daily, schedule: '0 1 * * *' }]`)).toThrow(/stands beside preset/);
    expect(() => parse('policies: [{ targets: [shop], preset: dayly }]')).toThrow(/daily/);
  });

  test('B14 an archive rule with a schedule has one, and a target of that name is refused', () => {
    const desired = desiredSchedules(parse(`archives: [{ target: orders, tables: { events: { column: at } }, schedule: '0 3 1 * *', timezone: Asia/Seoul, paused: audit }]`));
    expect(desired).toMatchObject([{ id: 'resurgo/orders/archive/1', workflow: 'archive', timezone: 'Asia/Seoul', paused: 'audit', input: { target: 'orders', onBusy: 'wait' } }]);
    for (const bad of [`archives: [{ target: orders, tables: { events: {} } }]`, `archives: [{ target: nobody, tables: { events: { column: at } } }]`, `archives: [{ target: orders, tables: {} }]`]) expect(() => parse(bad)).toThrow(expect.objectContaining({ code: 'configInvalid' }));
  });
});
