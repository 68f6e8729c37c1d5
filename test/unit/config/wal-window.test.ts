import { expect, test } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import { pitrOf, retentionOf } from '../../../config/lookup.ts';
import { decideRetention, type RetentionEntry } from '../../../domain/retention.ts';
import { recipient } from './bad-configs.ts';

const day = 86_400_000;
const now = Date.parse('2026-11-21T12:00:00Z');
const configOf = (retention: string, wal = true) =>
  parseConfig(
    `version: 1\nencryption: { recipients: [${recipient}] }\nrepositories: { local: { type: disk, path: ./repo } }\ntargets: { shop: { type: postgres, engine: physical, connection: "postgres://h/d"${wal ? ', wal: true' : ''} } }\n${retention}\n`,
    { shown: 'resurgo.yaml', dir: '/', env: {} },
  );
const entries = Array.from({ length: 20 }, (_, i): RetentionEntry => {
  const startedAt = new Date(now - i * day).toISOString();
  return { id: `b${String(i)}`, name: `${startedAt}-full-b${String(i)}`, systemId: '7', kind: 'full', startedAt, chain: [], verified: true, held: false };
});

test.each([
  ['retention: [{ last: 1 }]', 7 * day],
  ['retention: [{ last: 1 }, { repositories: [local], pitr: 3d }]', 3 * day],
  ['retention: [{ last: 1, pitr: 3d }, { pitr: 9d }]', 9 * day],
  ['', 7 * day],
])('B11 R4 base backups and WAL have one window, also where no rule says it: %s', (retention, window) => {
  const config = configOf(retention);
  expect(pitrOf(config, 'shop', 'local')).toBe(window);
  const kept = decideRetention(entries, retentionOf(config, 'shop', 'local').rules, now).filter(({ action }) => action === 'keep');
  // Every base backup inside the window and one from before it, with its reason.
  for (const one of entries.filter(({ startedAt }) => Date.parse(startedAt) >= now - window)) {
    const why = kept.find(({ entry }) => entry.id === one.id)?.reasons.join('; ');
    expect(why, one.id).toContain(`the point-in-time window of ${String(window / day)}d`);
  }
});

test('B11 without a WAL archive there is no window', () => {
  const { rules } = retentionOf(configOf('retention: [{ last: 1, pitr: 3d }]', false), 'shop', 'local');
  expect(decideRetention(entries, rules, now).filter(({ action }) => action === 'keep').map(({ entry }) => entry.id)).toEqual(['b0']);
});
