import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { ActivityDeps } from '../../activities/deps.ts';
import { sweepOtherRuns } from '../../activities/staging.ts';
import { writeRunFile } from '../../activities/run-file.ts';
import { MemoryStore } from '../../providers/repository/memory-store.ts';
import { runRecordKey } from '../../providers/repository/layout.ts';
import { listRunRecords, trimRunRecords, writeRunRecord } from '../../providers/repository/run-records.ts';
import { tempDir, type TempDir } from '../support/temp.ts';

const day = 24 * 3600_000;
let dir: TempDir | undefined;
afterEach(async () => {
  await dir?.stop();
  dir = undefined;
});

const record = (startedAt: string, id: string) => ({ schemaVersion: 1 as const, id, target: 'shop', operation: 'backup', startedAt, endedAt: startedAt, error: { code: 'dumpFailed', message: 'x' } });

describe('B15 records of failed runs are bounded', () => {
  test('the old and the many go, the newest stay, other targets and fresh strangers are left alone', async () => {
    const store = new MemoryStore();
    const now = Date.now();
    const at = (days: number, i = 0): string => new Date(now - days * day - i * 1000).toISOString();
    for (let i = 0; i < 5; i++) await writeRunRecord(store, record(at(1, i), `new${String(i)}`));
    await writeRunRecord(store, record(at(500), 'old'));
    await writeRunRecord(store, { ...record(at(500), 'other'), target: 'media' });
    await store.put('runs/shop/half.tmp', Buffer.from('{'));
    expect(await trimRunRecords(store, 'shop', now, { keptRecords: 3 })).toBe(3);
    expect((await listRunRecords(store, 'shop')).map(({ id }) => id)).toEqual(['new0', 'new1', 'new2']);
    expect((await listRunRecords(store, 'media')).map(({ id }) => id)).toEqual(['other']);
    expect(await store.head('runs/shop/half.tmp')).toBeDefined();
    // A day later nobody writes it any more.
    expect(await trimRunRecords(store, 'shop', now + 2 * day)).toBe(1);
    expect(await trimRunRecords(store, 'shop', now + 2 * day)).toBe(0);
    expect(await store.head(runRecordKey('shop', at(1), 'new0'))).toBeDefined();
  });
});

describe('B9 run files hold keys, and none stays for ever', () => {
  test('those of dead runs of the target go at once, those nobody ended after a month, garbage after a day', async () => {
    dir = tempDir('runs');
    const stateDir = dir.path;
    const runs = join(stateDir, 'runs');
    const run = (backup: string, target: string) => writeRunFile(stateDir, { backup, target, attempt: 'a1', dataKey: 'k', metadataKey: 'm' });
    const age = (name: string, days: number): void => {
      const then = new Date(Date.now() - days * day);
      utimesSync(join(runs, name), then, then);
    };
    for (const [id, target] of [['own', 'shop'], ['dead', 'shop'], ['alive', 'media'], ['forgotten', 'gone']] as const) await run(id, target);
    for (const id of ['dead', 'forgotten']) mkdirSync(join(stateDir, 'staging', id), { recursive: true });
    age('forgotten.json', 40);
    age('alive.json', 20);
    for (const name of ['broken.json', 'x.json.a1.tmp', 'fresh.json.a2.tmp', 'list.json']) writeFileSync(join(runs, name), name === 'list.json' ? '[]' : '{');
    for (const name of ['broken.json', 'x.json.a1.tmp', 'list.json']) age(name, 2);
    const deps = { loaded: { stateDir, config: { targets: {} } }, stores: { spoolPath: (id: string) => join(stateDir, 'spool', id) } } as unknown as ActivityDeps;
    await sweepOtherRuns(deps, 'shop', 'own');
    expect(readdirSync(runs).toSorted()).toEqual(['alive.json', 'fresh.json.a2.tmp', 'own.json']);
    expect(readdirSync(join(stateDir, 'staging'))).toEqual([]);
  });
});
