import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatBytes } from '../config/units.ts';
import type { BackupEntry } from '../client/catalogue.ts';
import { startPostgres, toolsEnv } from '../test/support/index.ts';
import { AllInOne } from './all-in-one.ts';
import { demoConfig } from './config.ts';
import { openOffsite } from './offsite.ts';
import { dumpWithGzip, restoreWithGunzip } from './peers.ts';
import { digestOf, proveSame } from './proof.ts';
import { resurgo, resurgoJson } from './resurgo.ts';
import { offerService } from './service.ts';
import { buildShop, changeOnePercent } from './shop.ts';
import type { Stage } from './stage.ts';
import { surviveAnOutage } from './outage.ts';
import { backUpAcrossAKill, slowLine } from './survive.ts';
import { type Measured, showTable } from './table.ts';

const newest = async (stage: Stage, target: string): Promise<BackupEntry> => {
  const [entry] = await resurgoJson<BackupEntry[]>(stage, ['backups', target]);
  if (entry === undefined) throw new Error(`no backup of ${target}`);
  return entry;
};

/** The whole demo, from an empty directory to a restored database. */
export async function tellStory(stage: Stage): Promise<{ ui: string }> {
  const { screen, options } = stage;
  const rows: Measured[] = [];
  const tools = toolsEnv();
  screen.title('Resurgo: back up a PostgreSQL, kill what can be killed, lose it all, get it back, fail over.');
  screen.say(
    `PostgreSQL ${tools.pgVersion}, Temporal ${tools.temporalVersion}, all real and all on this machine, in ${stage.dir}`,
  );

  screen.heading('A database worth having');
  const building = performance.now();
  const server = await startPostgres({ fsync: true, config: { max_wal_size: '4GB', shared_buffers: '128MB' } });
  stage.keepsLog('postgres.log', server.logFile);
  const size = await screen.busy(
    () => 'filling a shop with customers, orders and events',
    () => buildShop(server, options.size, stage.signal),
  );
  screen.good(
    `shop: ${size.rows.toLocaleString('en')} rows in ${String(size.tables)} tables, ${formatBytes(size.bytes)}`,
    performance.now() - building,
  );

  screen.heading('Set up');
  const offsite = await openOffsite(stage, slowLine(options.size));
  await resurgo(stage, ['init'], { show: (line) => line.startsWith('wrote') });
  const service = await offerService(stage, server);
  const recipient = /^# public key: (\S+)$/m.exec(readFileSync(join(stage.dir, 'resurgo.key'), 'utf8'))?.[1] ?? '';
  writeFileSync(join(stage.dir, 'resurgo.yaml'), demoConfig(recipient, server, offsite, service), { mode: 0o600 });
  screen.command('edit resurgo.yaml');
  screen.output('targets: shop, the whole cluster; shop-sql, one database by pg_dump', true);
  screen.output(`repositories: local, a directory; offsite, ${offsite.what}`, true);
  screen.command('resurgo up', 'in a second terminal: Temporal and a worker');
  const up = await screen.busy(
    () => 'starting',
    () => AllInOne.start(stage),
  );
  for (const line of up.said().slice(0, 3)) screen.output(line);
  await resurgo(stage, ['check'], {
    remark: 'every server, repository, key and tool',
    show: (line) => !/^(ok|note|\s)/.test(line),
  });

  screen.heading('Back it up');
  const full = await resurgo(stage, ['backup', 'shop']);
  const fullEntry = await newest(stage, 'shop');
  const plain = await dumpWithGzip(stage, server);
  screen.good(`${formatBytes(plain.bytes)}, neither encrypted nor read back`, plain.ms);
  rows.push({
    step: 'full backup: encrypted, read back',
    ms: full.ms,
    bytes: fullEntry.bytes?.source ?? 0,
    stored: fullEntry.bytes?.stored ?? 0,
    peer: plain,
  });

  screen.heading('Business goes on: 1 % changes');
  const changed = await changeOnePercent(server, options.size);
  screen.good(`${changed.toLocaleString('en')} rows updated, inserted and deleted`);
  const before = await digestOf(stage, server, 'shop');
  screen.good(`noted: a digest of every row of every table (${before.digest.slice(0, 16)}…)`);
  const incremental = await resurgo(stage, ['backup', 'shop', '--kind', 'incremental']);
  const entry = await newest(stage, 'shop');
  rows.push({
    step: 'incremental backup after 1 %',
    ms: incremental.ms,
    bytes: entry.bytes?.source ?? 0,
    stored: entry.bytes?.stored ?? 0,
    peer: 'all of it again',
  });

  screen.heading('Kill the worker in the middle of an upload');
  const killed = await backUpAcrossAKill(stage, up, offsite);
  const sql = await newest(stage, 'shop-sql');
  rows.push({
    step: 'pg_dump to two places, worker killed',
    ms: killed.ms,
    bytes: sql.bytes?.source ?? 0,
    stored: sql.bytes?.stored ?? 0,
    peer: 'from the beginning',
  });

  screen.heading('Lose everything');
  screen.command(`kill -9 ${String(server.pid)}; rm -rf data/*`, 'PostgreSQL, and all it had');
  await server.kill();
  for (const name of readdirSync(server.dataDir)) rmSync(join(server.dataDir, name), { recursive: true, force: true });
  screen.good('the server is dead, its data directory is empty');

  screen.heading('Get it back');
  const restored = await resurgo(stage, ['restore', 'shop', '--mode', 'in-place']);
  const after = await digestOf(stage, server, 'shop');
  proveSame(stage, before, after);
  screen.good(`every table is the same, row for row (${after.digest.slice(0, 16)}…)`);
  const side = await resurgo(stage, ['restore', 'shop-sql', '--to', 'shop_copy'], {
    remark: 'the backup whose worker was killed',
  });
  const copy = await digestOf(stage, server, 'shop_copy');
  proveSame(stage, before, copy, 'different');
  screen.good(`the same ${String(copy.tables.length)} digests again (${copy.digest.slice(0, 16)}…)`);
  const plainBack = await restoreWithGunzip(stage, server);
  screen.good('done; what is in it, nobody has checked', plainBack.ms);
  rows.push({
    step: 'restore: full + incremental, in place',
    ms: restored.ms,
    bytes: size.bytes,
    peer: { ...plainBack },
  });
  rows.push({ step: 'restore of the pg_dump, checked', ms: side.ms, bytes: sql.bytes?.source ?? 0 });

  screen.heading('What it took');
  showTable(screen, rows);

  screen.heading('A cluster loses its primary');
  const again = await surviveAnOutage(stage, up);
  return { ui: again.state.ui };
}
