import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { drillHistory } from '../../client/drill-history.ts';
import { gatherEvidence, showEvidence, verifyAllEvidence } from '../../client/evidence.ts';
import { listCatalogue } from '../../client/catalogue.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { drillsLeft, drillTemporary } from '../support/drill-left.ts';
import { freePort } from '../support/ports.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;
/** Where drills build: a directory of the server's user. */
let place: string;
const temporary = drillTemporary();
const stepsOf = async (id: string): Promise<unknown> => (await stack.client()).client.workflow.getHandle(id).query('steps');

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', `create table orders(id bigint generated always as identity primary key, note text, at timestamptz not null);
    insert into orders(note, at) select md5(i::text), now() - interval '1 hour' + i * interval '0.1 second' from generate_series(1, 20000) i;
    create index on orders(note);`);
  place = join(server.socketDir, 'drills');
  mkdirSync(place, { mode: 0o711 });
  if (server.runAs !== undefined) chownSync(place, server.runAs.uid, server.runAs.gid);
  const program = join(server.socketDir, 'app.mjs');
  const port = await freePort();
  // An application that serves only what it reads from the restored database over TCP.
  writeFileSync(program, `import http from 'node:http'; import { spawnSync } from 'node:child_process';
    http.createServer((_, response) => { const found = spawnSync('${join(server.pgBin, 'psql')}', ['-Atc', 'select count(*) from orders'], { encoding: 'utf8' });
      response.writeHead(found.status === 0 ? 200 : 500); response.end('orders: ' + found.stdout + found.stderr); }).listen(${String(port)}, '127.0.0.1');\n`);
  chmodSync(program, 0o644);
  const checks = [
    { name: 'orders are there', sql: 'select count(*) = 20000 from orders' },
    { sql: 'select count(*) from orders', min: 1 },
    { sql: `select note from orders where id = 1`, equals: 'c4ca4238a0b923820dcc509a6f75849b' },
    { name: 'app', http: `http://127.0.0.1:${String(port)}/`, contains: 'orders: 20000', start: [process.execPath, program], timeout: '5m' },
    { name: 'psql', command: [join(server.pgBin, 'psql'), '-Atc', 'select 1'] },
  ];
  stack = await startStack({
    env: { TMPDIR: temporary },
    targets: {
      shop: { type: 'postgres', engine: 'physical', connection: server.url('shop'), toolsDir: server.pgBin },
      orders: { type: 'postgres', engine: 'logical', connection: server.url('shop'), toolsDir: server.pgBin, jobs: 2 },
      plain: { type: 'postgres', engine: 'physical', connection: server.url('shop'), toolsDir: server.pgBin, staging: place },
    },
    sections: { drills: [
      { target: 'shop', directory: place, checks, performance: [{ name: 'by note', sql: `select * from orders where note = md5('77')`, p95Ms: 10000, runs: 10 }], marker: 'select max(at) from orders', records: 'select count(*) from orders' },
      { target: 'orders', directory: place, checks: [{ name: 'wrong', sql: 'select count(*) = 1 from orders' }, { name: 'writes', sql: 'with gone as (delete from orders returning 1) select count(*) >= 0 from gone' }, { name: 'nonsense', sql: 'select 7' }] },
    ] },
  });
  await stack.startWorker();
}, 300_000);

afterAll(async () => {
  await stack.stop();
  await server.stop();
  rmSync(temporary, { recursive: true, force: true });
});

describe('D1 D3 restore drills', () => {
  test('D1 a physical drill: isolated restore, checks by SQL, HTTP and program, performance, RTO and RPO, evidence, proven, nothing left', async () => {
    const backup = await stack.run('backup', { target: 'shop' });
    const result = await stack.run('drill', { target: 'shop' });
    expect(result.checks.filter((check) => check.outcome === 'failed')).toEqual([]);
    expect(result).toMatchObject({ status: 'passed', backup: backup.id, rpoMs: 0, rpoBasis: 'marker', dataLossRatio: 0, objectives: { rtoMs: 14_400_000, rpoMs: 3_600_000 }, missed: [], proven: true, cleanedUp: true });
    expect(result.error).toBeUndefined();
    expect(result.checklist).toEqual({ integrity: 'passed', databaseRestore: 'passed', fileRestore: 'not covered', applicationFunction: 'passed', performance: 'passed' });
    expect(result.checks.map((check) => check.name)).toEqual(expect.arrayContaining(['a server starts from it', 'extensions', 'collations', 'orders are there', 'app', 'psql', 'newest marker', 'integrity (full)', 'by note']));
    expect(result.checks.find((check) => check.name === 'integrity (full)')?.detail).toContain('index-only and sequential counts agree');
    const { rto } = result;
    expect(result.rtoMs).toBe(Object.values(rto ?? {}).reduce((sum, part) => sum + part, 0));
    expect(rto?.fetch).toBeGreaterThan(0);
    expect(rto?.restore).toBeGreaterThan(0);
    expect(result.performance).toMatchObject([{ name: 'by note', runs: 10, baselineP95Ms: null }]);
    expect(result.recommendations.join('\n')).toContain('Nothing is scheduled');
    expect(await drillsLeft(stack, [place, temporary])).toEqual([]);
    const { backups } = await listCatalogue(stack.loaded, 'shop');
    expect(backups[0]).toMatchObject({ id: backup.id, status: 'proven' });
    const shown = await showEvidence(stack.loaded, result.id, join(stack.dir, 'page.html'));
    expect(shown).toMatchObject({ kind: 'drill', target: 'shop', status: 'passed', document: { measured: { rtoMs: result.rtoMs, rpoMs: 0 } } });
    expect(existsSync(join(stack.dir, 'page.html'))).toBe(true);
  });

  test('D1 the loss is measured in the data: rows that the backup lacks; a second drill has a baseline', async () => {
    await server.sql('shop', `insert into orders(note, at) select 'later', now() from generate_series(1, 100)`);
    const result = await stack.run('drill', { target: 'shop' });
    expect(result.rpoBasis).toBe('marker');
    expect(result.rpoMs).toBeGreaterThan(0);
    expect(result.dataLossRatio).toBeCloseTo(100 / 20100, 6);
    expect(result.performance[0]?.baselineP95Ms).toBeGreaterThan(0);
    expect(result.recommendations.join('\n')).toMatch(/records were missing at the recovery point/);
    const history = await drillHistory(stack.loaded, 'shop', 10);
    expect(history.drills.map((drill) => drill.id)[0]).toBe(result.id);
    expect(history).toMatchObject({ passed: 2, failed: 0 });
    await server.sql('shop', `delete from orders where note = 'later'`);
  });

  test('D1 a logical drill in a cluster of its own: failed checks fail it, nothing is written, the backup is not proven', async () => {
    await stack.run('backup', { target: 'orders' });
    const before = await server.sql('postgres', 'select datname from pg_database order by 1');
    const result = await stack.run('drill', { target: 'orders' });
    expect(result).toMatchObject({ status: 'failed', proven: false, cleanedUp: true, rpoBasis: 'backup-time' });
    expect(result.error).toBeUndefined();
    const by = Object.fromEntries(result.checks.map((check) => [check.name, check]));
    expect(by['row counts']).toMatchObject({ outcome: 'passed', detail: expect.stringContaining('20,000 rows') as string });
    expect(by['wrong']).toMatchObject({ outcome: 'failed', detail: 'false' });
    expect(by['writes']?.outcome).toBe('failed');
    expect(by['writes']?.detail).toMatch(/permission denied|read-only/);
    expect(by['nonsense']).toMatchObject({ outcome: 'failed', detail: expect.stringContaining('neither true nor false') as string });
    expect(result.recommendations.join('\n')).toMatch(/"wrong" failed/);
    expect(await server.sql('postgres', 'select datname from pg_database order by 1')).toEqual(before);
    expect(await drillsLeft(stack, [place, temporary])).toEqual([]);
  });

  test('D1 no backup, or one that cannot be restored, is a failed drill with evidence, not a crash', async () => {
    const result = await stack.run('drill', { target: 'plain' });
    expect(result).toMatchObject({ status: 'failed', rtoMs: null, rpoMs: null, cleanedUp: true, error: { code: 'backupUnknown' } });
    expect(result.evidence).not.toBeNull();
    await expect(stack.run('drill', { target: 'nope' })).rejects.toMatchObject({ code: 'targetUnknown' });
    expect((await gatherEvidence(stack.loaded, { kind: 'drill', target: 'plain' })).evidence).toMatchObject([{ status: 'failed' }]);
  });

  test('D1 cancelled, terminated, worker killed, source dead: nothing stays behind', async () => {
    const { client } = await stack.client();
    // Held up in a check until the cancel has come to it: it cannot be faster.
    stack.arm({ activity: 'checkDrill', when: 'inside', operation: 'sql', match: 'from orders', hold: true });
    const cancelled = await stack.start('drill', { target: 'shop' });
    await stack.reached();
    expect(await stepsOf('drill/shop')).toMatchObject([{ state: 'completed' }, { state: 'completed' }, { name: 'check and measure', state: 'in progress' }, { state: 'pending' }, { state: 'pending' }]);
    await cancelled.handle.cancel();
    await expect(stack.resultOf(cancelled)).rejects.toMatchObject({ code: 'cancelled' });
    expect((await cancelled.handle.describe()).status.name).toBe('CANCELLED');
    expect(await drillsLeft(stack, [place, temporary])).toEqual([]);

    // What cannot be removed is said: it is not simply "cancelled".
    stack.arm({ activity: 'checkDrill', when: 'inside', operation: 'sql', match: 'from orders', hold: true });
    const stuck = await stack.start('drill', { target: 'shop' });
    await stack.reached();
    const owner = join(place, readdirSync(place).find((name) => name.startsWith('resurgo-drill-')) ?? 'none', 'resurgo-drill');
    const id = readFileSync(owner, 'utf8');
    writeFileSync(owner, 'somebody else');
    await stuck.handle.cancel();
    await expect(stack.resultOf(stuck)).rejects.toMatchObject({ code: 'compensationFailed', message: expect.stringMatching(/was cancelled.*could not be removed.*does not carry the mark/) as string });
    writeFileSync(owner, id);

    // By force: no compensation runs. The activity hears of it by its heartbeat; the next drill removes what is left.
    stack.arm({ activity: 'buildDrill', when: 'inside', operation: 'get', match: '/parts/', hold: true });
    const terminated = await stack.start('drill', { target: 'shop' });
    await stack.reached();
    await client.workflow.getHandle('drill/shop').terminate('by force');
    await expect(terminated.handle.result()).rejects.toThrow();

    // The worker dies inside; its successor takes the run up again and ends it.
    stack.arm({ activity: 'checkDrill', when: 'inside', operation: 'sql', at: 4 });
    const killed = await stack.start('drill', { target: 'shop' });
    await stack.workerDeath();
    await stack.startWorker();
    expect(await stack.resultOf(killed)).toMatchObject({ status: 'passed', cleanedUp: true });
    expect(await drillsLeft(stack, [place, temporary])).toEqual([]);

    // The worker dies and the run is ended by force: its successor finds the remains when it starts.
    stack.arm({ activity: 'checkDrill', when: 'inside', operation: 'sql', at: 4 });
    const lost = await stack.start('drill', { target: 'shop' });
    await stack.workerDeath();
    await client.workflow.getHandle('drill/shop').terminate('by force');
    expect(await drillsLeft(stack, [place, temporary], 0)).not.toEqual([]);
    await stack.startWorker();
    // Only a worker can tell the caller that its child was ended.
    await lost.handle.result().catch(() => undefined);
    expect(await drillsLeft(stack, [place, temporary])).toEqual([]);
  }, 600_000);

  test('D1 a cancel that comes when everything is checked cuts nothing short, and the result says so', async () => {
    stack.arm({ activity: 'removeDrill', when: 'before', hold: true });
    const run = await stack.start('drill', { target: 'shop' });
    await stack.reached();
    await run.handle.cancel();
    await stack.askedToCancel('drill/shop');
    stack.release();
    const result = await stack.resultOf(run);
    expect(result).toMatchObject({ status: 'passed', proven: true, cleanedUp: true, warnings: expect.arrayContaining([expect.stringContaining('a cancel request came')]) as string[] });
    expect((await showEvidence(stack.loaded, result.id)).document).toMatchObject({ status: 'passed' });
    expect(await drillsLeft(stack, [place, temporary])).toEqual([]);
  }, 600_000);

  test('D1 with the source gone the drill works all the same, and says that it could not ask', async () => {
    await server.shutdown();
    try {
      const result = await stack.run('drill', { target: 'shop' });
      expect(result).toMatchObject({ status: 'passed', dataLossRatio: null, cleanedUp: true });
      expect(result.rpoMs).toBeGreaterThan(0);
      expect(result.warnings.join('\n')).toContain('the source was not asked');
    } finally {
      await server.start();
    }
    expect(await verifyAllEvidence(stack.loaded)).toMatchObject({ status: 'verified', problems: [] });
  }, 300_000);
});
