import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { defaultSize } from '../../demo/options.ts';
import { buildShop } from '../../demo/shop.ts';
import { startPostgres, type PostgresServer } from '../../test/support/index.ts';
import { giveToServer, pgTool, superuser } from '../../test/support/postgres-cluster.ts';
import type { Lab } from '../lab.ts';
import { measureOf } from '../report.ts';
import { ResurgoHost } from '../resurgo-host.ts';
import { interleave, seconds } from '../rounds.ts';
import { runTool } from '../tool.ts';
import type { Measure, Sample } from '../types.ts';

const peerName = 'resurgo restore, pg_ctl, pg_amcheck, psql, rm';

const checks = [
  'select count(*) > 0 from orders',
  'select bool_and(customer_id is not null) from orders',
  'select count(*) = 0 from orders o left join customers c on c.id = o.customer_id where c.id is null',
] as const;
const queries = ['select * from orders where id = 4711', 'select count(*), sum(total) from orders where customer_id between 100 and 200'] as const;
/** Measured, after those that warm up: as a drill does when nothing else is said. */
const runs = 40;
const warmUps = 3;

/** A drill of the demo's database, from the command to signed evidence with everything removed, against a restore of the same backup and the same checks by hand. */
export async function drill(lab: Lab): Promise<Measure[]> {
  const server = await startPostgres({ fsync: true, config: { max_wal_size: '4GB', shared_buffers: '128MB' } });
  lab.note(`filling the demo's database, ${String(defaultSize)} MB`);
  await buildShop(server, defaultSize, new AbortController().signal);
  const host = await ResurgoHost.create(
    { shop: { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin } },
    { drills: [{ target: 'shop', database: 'shop', checks: checks.map((sql) => ({ sql })), performance: queries.map((sql) => ({ sql })), marker: 'select max(placed_at) from orders', records: 'select count(*) from orders', objectives: { rto: '1h', rpo: '48h' } }] },
  );
  try {
    await host.start();
    await host.backup({ target: 'shop', kind: 'full' });
    const samples = await interleave(
      lab.options.rounds,
      [
        { name: 'ours', run: () => host.drill({ target: 'shop' }) },
        { name: 'peer', run: () => byHand(host, server) },
      ],
      lab.note,
    );
    return [measureOf({ name: 'drill', what: `drill of a database of ${String(defaultSize)} MB: restored, checked, measured, removed, proven`, unit: 's', bar: 1.3, peerName }, samples.get('ours') ?? [], samples.get('peer'))];
  } finally {
    await host.stop();
    await server.stop();
  }
}

/** What a script does that checks as much: restores, starts, looks at every page, index, map and count, asks, measures, removes. */
async function byHand(host: ResurgoHost, server: PostgresServer): Promise<Sample> {
  const place = host.directory('by-hand');
  const socket = host.directory('socket');
  const data = join(place.path, 'data');
  mkdirSync(data, { mode: 0o700 });
  giveToServer(socket.path);
  const { value } = await seconds(async () => {
    await host.restore({ target: 'shop', mode: 'beside', to: data });
    giveToServer(place.path);
    pgTool(server.pgBin, 'pg_ctl', ['-D', data, '-w', '-s', '-l', join(place.path, 'log'), '-o', `-c listen_addresses='' -c unix_socket_directories='${socket.path}' -c archive_mode=off`, 'start']);
    try {
      const here = ['-h', socket.path, '-U', superuser];
      await runTool(join(server.pgBin, 'pg_amcheck'), [...here, '--all', '--install-missing', '--heapallindexed']);
      const psql = (sql: string): Promise<string> => runTool(join(server.pgBin, 'psql'), [...here, '-d', 'shop', '-X', '-At', '-v', 'ON_ERROR_STOP=1', '-c', sql]);
      await psql(`create extension pg_visibility; select sum((select count(*) from pg_check_visible(oid)) + (select count(*) from pg_check_frozen(oid))) from pg_class where relkind in ('r', 'm', 't')`);
      const tables = (await psql(`select oid::regclass from pg_class where relkind = 'r'`)).trim().split('\n');
      const count = tables.map((table) => `select count(*) from ${table};`).join('\n');
      await psql(`set enable_indexonlyscan = off; ${count} set enable_indexonlyscan = on; set enable_seqscan = off; ${count}`);
      for (const sql of checks) if ((await psql(sql)).trim() !== 't') throw new Error(`${sql} is not true`);
      await psql('vacuum (analyze)');
      await psql(queries.map((sql) => `${sql};\n`.repeat(warmUps + runs)).join(''));
    } finally {
      pgTool(server.pgBin, 'pg_ctl', ['-D', data, '-w', '-s', '-m', 'fast', 'stop']);
    }
    await place.stop();
  });
  await socket.stop();
  return { value };
}
