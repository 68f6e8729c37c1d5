import { describe, expect, test } from 'vitest';
import { isBech32 } from '../../../config/bech32.ts';
import { longestGap, parseCron } from '../../../config/cron.ts';
import type { Cron } from '../../../config/cron.ts';
import { parseConfig } from '../../../config/load.ts';
import { membersOf, objectivesOf, repositoriesFor, targetOf } from '../../../config/lookup.ts';
import { snapshotOf } from '../../../config/redact.ts';
import { reserved } from '../../../config/cross-check.ts';
import { reservedNames } from '../../../providers/repository/layout.ts';
import { suggest } from '../../../config/suggest.ts';
import { formatBytes, formatDuration, parseDuration, parseSize } from '../../../config/units.ts';
import { recipient, variant } from './bad-configs.ts';

const parse = (lines: Readonly<Record<number, string>>) =>
  parseConfig(variant(lines), { shown: 'resurgo.yaml', dir: '/nowhere', env: {} });

describe('O4 units', () => {
  test.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5h', 5_400_000],
    ['2w', 1_209_600_000],
    ['0s', 0],
    ['4 h', 14_400_000],
    ['4H', undefined],
    ['h', undefined],
    ['-1h', undefined],
    ['1h30m', undefined],
    ['', undefined],
    ['9999999999999s', undefined],
  ])('duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms));
  test.each([
    ['64MiB', 67_108_864],
    ['1kB', 1000],
    ['1.5GiB', 1_610_612_736],
    ['100', undefined],
    ['1mb', undefined],
    ['999999999TiB', undefined],
  ])('size %s', (text, bytes) => expect(parseSize(text)).toBe(bytes));
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1024, '1.00 KiB'],
    [1023.9 * 1024, '1.00 MiB'],
    [52_428_800, '50.0 MiB'],
    [1.5 * 1024 ** 3, '1.50 GiB'],
    [-2048, '-2.00 KiB'],
  ])('%d bytes', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
  test.each([
    [0, '0 ms'],
    [999.7, '1.0 s'],
    [4200, '4.2 s'],
    [59_999, '1m 00s'],
    [185_000, '3m 05s'],
    [3_599_999, '1h 00m'],
    [7_800_000, '2h 10m'],
    [86_400_000, '1d'],
    [100 * 3_600_000, '4d 4h'],
    [Infinity, '–'],
  ])('%d ms', (ms, text) => expect(formatDuration(ms)).toBe(text));
});

test('O4 suggestions are near, and none where nothing is', () => {
  expect(suggest('recipents', ['recipients', 'identity'])).toBe('recipients');
  expect(suggest('max-rate', ['maxRate', 'jobs'])).toBe('maxRate');
  expect(suggest('ehlp', ['help'])).toBe('help');
  expect(suggest('abc', ['xyz'])).toBeUndefined();
});

test('B9 age recipients: every single changed character is noticed', () => {
  expect(isBech32(recipient)).toBe(true);
  for (let i = 4; i < recipient.length; i++)
    expect(isBech32(recipient.slice(0, i) + (recipient[i] === 'q' ? 'p' : 'q') + recipient.slice(i + 1))).toBe(false);
});

describe('O4 schedules', () => {
  const cron = (text: string): Cron => {
    const parsed = parseCron(text);
    if (typeof parsed === 'string') throw new Error(parsed);
    return parsed;
  };
  const gapHours = (...schedules: [string, string][]): number | undefined => {
    const gap = longestGap(
      schedules.map(([text, timezone]) => ({ cron: cron(text), timezone })),
      Date.UTC(2026, 0, 1),
    );
    return gap === undefined ? undefined : gap / 3_600_000;
  };

  test('O4 the longest time between two runs', () => {
    expect(gapHours(['0 2 * * *', 'Asia/Seoul'])).toBe(24);
    expect(gapHours(['0 */4 * * *', 'UTC'])).toBe(4);
    expect(gapHours(['0 2 * * *', 'Asia/Seoul'], ['0 */4 * * *', 'Asia/Seoul'])).toBe(4);
    expect(gapHours(['0 0 * * 1-5', 'UTC'])).toBe(72);
    expect(gapHours(['0 0 1 * *', 'UTC'])).toBe(31 * 24);
    expect(gapHours(['0 22 * * *', 'UTC'], ['0 7 * * *', 'Asia/Seoul'])).toBe(24);
    expect(gapHours(['@yearly', 'UTC'])).toBe(365 * 24);
    expect(gapHours(['0 0 29 2 *', 'UTC'])).toBeUndefined();
    expect(gapHours()).toBeUndefined();
    // The night of the change to winter time has an hour more.
    expect(gapHours(['0 2 * * *', 'Europe/Berlin'])).toBe(25);
  });

  test.each(['* * * * *', '*/15 0-6,12 1,15 jan-mar MON', '5/10 * * * 7', '0 0 31 * *', '0 0 31 2 1'])(
    '%s is a schedule',
    (text) => expect(typeof parseCron(text)).toBe('object'),
  );
  test.each([
    '',
    '* * * *',
    '60 * * * *',
    '* * 0 * *',
    '*/0 * * * *',
    '5-1 * * * *',
    '1,,2 * * * *',
    '* * * foo *',
    '* * 30 2 *',
    '@every 5m',
    '* * * * * *',
    '1-* * * * *',
  ])('"%s" is none', (text) => expect(typeof parseCron(text)).toBe('string'));
});

describe('O4 questions to a configuration', () => {
  const lines = {
    5: '  local: { type: disk, path: /a }\n  remote: { type: disk, path: /b }\n  third: { type: disk, path: /c }',
    7: '  shop: { type: postgres, engine: physical, password: { env: P }, connection: { env: A }, dataDir: /d, standbys: [{ name: b, connection: { env: B }, password: { env: Q } }] }\n  toString: { type: postgres, engine: logical, connection: { env: A }, repositories: [third, local], objectives: { rpo: 5m } }\n  bare: { type: postgres, engine: logical, members: [{ name: x, connection: { env: X } }] }',
    8: 'policies:\n  - { targets: [shop], kind: full, repositories: [remote, local] }\n  - { targets: [shop], kind: incremental, repositories: [local] }\n  - { targets: [toString] }',
  };
  const config = parse(lines);

  test('B8 where a backup goes', () => {
    expect(repositoriesFor(config, 'shop', 'full')).toEqual(['local', 'remote']);
    expect(repositoriesFor(config, 'shop', 'incremental')).toEqual(['local']);
    expect(repositoriesFor(config, 'shop', 'differential')).toEqual(['local', 'remote']);
    expect(repositoriesFor(config, 'shop')).toEqual(['local', 'remote']);
    expect(repositoriesFor(config, 'toString', 'full')).toEqual(['local', 'third']);
    expect(repositoriesFor(config, 'bare')).toEqual(['local', 'remote', 'third']);
  });

  test('O4 names that every object has are targets only when they are configured', () => {
    expect(targetOf(config, 'toString')).toMatchObject({ engine: 'logical' });
    for (const name of ['constructor', 'hasOwnProperty', '__proto__'])
      expect(() => targetOf(config, name)).toThrow(expect.objectContaining({ code: 'targetUnknown' }));
    expect(() => targetOf(config, 'shp')).toThrow('did you mean "shop"?');
  });

  test('R1 members and objectives', () => {
    expect(membersOf(targetOf(config, 'shop'))).toEqual([
      { name: 'primary', connection: { env: 'A' }, dataDir: '/d', password: { env: 'P' } },
      { name: 'b', connection: { env: 'B' }, password: { env: 'Q' } },
    ]);
    expect(membersOf(targetOf(config, 'bare')).map(({ name }) => name)).toEqual(['x']);
    expect(objectivesOf(config, 'toString')).toMatchObject({ rto: 14_400_000, rpo: 300_000 });
    expect(objectivesOf(config, 'shop')).toMatchObject({ rto: 14_400_000, rpo: 3_600_000 });
  });

  test('O4 the snapshot of a target changes with what it depends on and with nothing else', () => {
    const hashOf = (change: (text: string) => string): string =>
      snapshotOf({ source: parseConfig(change(variant(lines)), { shown: '', dir: '/', env: {} }) }, 'shop').hash;
    const same = hashOf((text) => text);
    expect(hashOf((text) => text.replace('path: /c', 'path: /cc'))).toBe(same);
    expect(hashOf((text) => text.replace('rpo: 5m', 'rpo: 6m'))).toBe(same);
    expect(hashOf((text) => text.replace('dataDir: /d', 'dataDir: /d, jobs: 3, toolsDir: /opt/pg'))).toBe(same);
    expect(hashOf((text) => text.replace(`[${recipient}]`, `[${recipient}]\n  identity: ./resurgo.key`))).toBe(same);
    const another = 'age1h5atuchmdkurxtw6gq9d2m5veeg9k4qpqjajetunzgmx9rgqrg9szdj5x8';
    expect(hashOf((text) => text.replace(`[${recipient}]`, `[${recipient}, ${another}]`)), 'keys add').toBe(same);
    expect(hashOf((text) => text.replace(`[${recipient}]`, `[${another}]`)), 'keys rotate').toBe(same);
    expect(hashOf((text) => text.replace('path: /b', 'path: /bb'))).not.toBe(same);
    expect(hashOf((text) => text.replace('env: A', 'env: AA'))).not.toBe(same);
    expect(hashOf((text) => text.replace('kind: incremental', 'kind: differential'))).not.toBe(same);
  });
});

test('O4 names the repository uses itself are no targets', () => {
  expect([...reserved.targets].sort()).toEqual([...reservedNames].sort());
});
