import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { walStatus, type WalStatus } from '../../client/wal-status.ts';
import { KeyRing } from '../../activities/key-ring.ts';
import { Stores } from '../../activities/stores.ts';
import { cover, coverage, gapsOf } from '../../domain/wal.ts';
import { parseLsn } from '../../domain/lsn.ts';
import { listWalSystems, readArchive, WalReader } from '../../providers/wal/archive-read.ts';
import { timelinePrefix } from '../../providers/wal/layout.ts';
import { startPostgres, type PostgresServer } from '../support/index.ts';
import { sleep } from '../support/server-process.ts';
import { startStack, type Stack } from '../support/stack.ts';

let server: PostgresServer;
let stack: Stack;

beforeAll(async () => {
  server = await startPostgres({ dataChecksums: true });
  await server.sql('postgres', 'create table t(i int, at timestamptz default clock_timestamp())');
  stack = await startStack({
    repositories: { local: { type: 'disk', path: './repo' }, second: { type: 'disk', path: './second' } },
    targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin, wal: true, walRequired: ['local'], walFlush: '500ms' } },
  });
  await stack.startWorker();
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

const flushLsn = async (): Promise<string> => (await server.sql<{ lsn: string }>('postgres', 'select pg_current_wal_flush_lsn()::text as lsn'))[0]?.lsn ?? '';

async function until<T>(what: string, read: () => Promise<T>, good: (value: T) => boolean, timeoutMs = 120_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (good(value)) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not happen: ${JSON.stringify(value, null, 1)}\n${stack.workerLog}`);
    await sleep(200);
  }
}

const storedLsn = (status: WalStatus, repository = 'local'): bigint => {
  const stretches = status.repositories.find(({ name }) => name === repository)?.lineages[0]?.timelines.at(-1)?.stretches ?? [];
  return parseLsn(stretches.at(-1)?.to ?? '0/0');
};

const stored = (lsn: string, repository = 'local'): Promise<WalStatus> => until(`${lsn} in ${repository}`, () => walStatus(stack.loaded, 'shop'), (status) => storedLsn(status, repository) >= parseLsn(lsn) && status.repositories.every(({ gaps }) => gaps.length === 0));

/** The archive's bytes are those of the server's own files. */
async function compareWithServer(repository: string): Promise<number> {
  const stores = new Stores(stack.loaded);
  const keys = new KeyRing(stack.loaded);
  try {
    const store = await stores.open(repository);
    const trusted = await keys.trusted();
    const [systemId = ''] = await listWalSystems(store, 'shop');
    const archives = await readArchive(store, 'shop', systemId, trusted);
    expect(gapsOf(archives)).toEqual([]);
    const reader = new WalReader({ stores: [store], trusted, credentials: await keys.credentials() });
    let compared = 0;
    for (const lineage of archives) for (const { timeline, pieces } of lineage.timelines) {
      const prefix = timelinePrefix('shop', systemId, lineage.id, timeline);
      for (const { start, end } of coverage(pieces)) {
        let at = start;
        for (const piece of cover(pieces, start, end) ?? []) {
          const { plain } = await reader.read(`${prefix}${piece.name}`);
          expect(piece.start <= at && BigInt(plain.length) === piece.end - piece.start).toBe(true);
          const offset = Number(piece.start);
          const [row] = await server.sql<{ same: boolean }>('postgres', `select pg_read_binary_file('pg_wal/' || pg_walfile_name(($1::pg_lsn) + 1), ${String(offset % 16777216)}, ${String(plain.length)}) = $2 as same`, [`${(piece.start >> 32n).toString(16)}/${(piece.start & 0xffffffffn).toString(16)}`, Buffer.from(plain)]);
          expect(row?.same, piece.name).toBe(true);
          compared += plain.length;
          at = piece.end;
        }
      }
    }
    return compared;
  } finally {
    await stores.close();
  }
}

describe('WAL archive', () => {
  test('B3 what is committed is stored within seconds, encrypted, in every repository; an idle database loses nothing', async () => {
    await server.sql('postgres', 'insert into t select generate_series(1, 1000)');
    const lsn = await flushLsn();
    await stored(lsn);
    await stored(lsn, 'second');
    await sleep(3000);
    const status = await until('an idle server is marked', () => walStatus(stack.loaded, 'shop'), ({ rpoMs }) => rpoMs !== null && rpoMs < 12_000);
    expect(status.health).toMatchObject({ target: 'shop', timeline: 1, problems: [], lagBytes: 0 });
    expect(await compareWithServer('local')).toBeGreaterThan(10_000);
  }, 600_000);

  test('B3 a worker that is killed again and again leaves neither gap nor duplicate, and the slot follows what is stored', async () => {
    for (let round = 0; round < 3; round++) {
      await server.sql('postgres', `insert into t select generate_series(1, 50000); select pg_switch_wal(); insert into t select generate_series(1, 1000)`);
      await sleep(300 + round * 400);
      await stack.stopWorker('SIGKILL');
      await server.sql('postgres', 'insert into t select generate_series(1, 20000)');
      await stack.startWorker();
    }
    const lsn = await flushLsn();
    await stored(lsn);
    await stored(lsn, 'second');
    expect(await compareWithServer('local')).toBeGreaterThan(3 * 16 * 1024 * 1024);
    expect(await compareWithServer('second')).toBeGreaterThan(3 * 16 * 1024 * 1024);
    await until('the slot follows', () => server.sql<{ behind: string }>('postgres', `select ($1::pg_lsn - restart_lsn)::text as behind from pg_replication_slots where slot_name = 'resurgo_shop'`, [lsn]), ([row]) => row !== undefined && Number(row.behind) <= 0);
  }, 600_000);
});
