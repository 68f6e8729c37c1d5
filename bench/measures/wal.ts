import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { archiveWal } from '../../activities/wal/archive.ts';
import { dropOwnWal, recoverCluster } from '../../providers/wal/recover.ts';
import { listWalSystems, readArchive, WalReader } from '../../providers/wal/archive-read.ts';
import { coverage, parsePieceName, type WalPiece } from '../../domain/wal.ts';
import { walPrefix } from '../../providers/wal/layout.ts';
import { formatLsn, parseLsn, segmentFile } from '../../domain/lsn.ts';
import { startLocalServer } from '../../providers/postgres/local-server.ts';
import { loadConfig } from '../../config/load.ts';
import { createDeps } from '../../workers/deps.ts';
import { startPostgres, tempDir, type PostgresServer } from '../../test/support/index.ts';
import { giveToServer } from '../../test/support/postgres-cluster.ts';
import { pgRunAs } from '../../test/support/run-as.ts';
import type { Lab } from '../lab.ts';
import { measureOf } from '../report.ts';
import { interleave } from '../rounds.ts';
import { runTool } from '../tool.ts';
import type { Measure, Sample } from '../types.ts';

const receivewal = 'pg_receivewal';
const cpName = 'restore_command = cp from a local directory';

interface Backlog {
  readonly server: PostgresServer;
  readonly end: string;
  readonly megabytes: number;
  /** A base backup from before the backlog. */
  readonly base: string;
}

/** A server that holds so much WAL for a slot `keep`, of rows as they come. */
async function backlog(lab: Lab): Promise<Backlog> {
  const server = await startPostgres({ config: { max_wal_size: '8GB', checkpoint_timeout: '1h', wal_keep_size: '0', full_page_writes: 'on' } });
  const work = tempDir('bench-wal', pgRunAs());
  const base = join(work.path, 'base');
  await server.sql('postgres', `create table load(id bigint, pad text, n int); select pg_create_physical_replication_slot('keep', true)`);
  await runTool(join(server.pgBin, 'pg_basebackup'), ['-D', base, '-X', 'stream', '-c', 'fast', '--no-sync', '-d', server.url()]);
  const begun = await lsnOf(server);
  const wanted = lab.options.size;
  lab.note(`writing ${String(wanted)} MB of WAL`);
  for (let written = 0; written < wanted; written = Number(parseLsn(await lsnOf(server)) - parseLsn(begun)) / 1_048_576) {
    await server.sql('postgres', `insert into load select i, md5(i::text) || md5((i * 7)::text) || repeat('filler ', 10), i % 1000 from generate_series(1, 400000) i; update load set n = n + 1 where id % 50 = 0; truncate load`);
  }
  await server.sql('postgres', 'select pg_switch_wal()');
  const end = await lsnOf(server);
  return { server, end, base, megabytes: Number(parseLsn(end) - parseLsn(begun)) / 1_048_576 };
}

const lsnOf = async (server: PostgresServer): Promise<string> => (await server.sql<{ lsn: string }>('postgres', 'select pg_current_wal_flush_lsn()::text as lsn'))[0]?.lsn ?? '0/0';

async function hostFor(server: PostgresServer): Promise<{ config: string; dir: string; stop: () => Promise<void> }> {
  const work = tempDir('bench-wal-host');
  const config = join(work.path, 'resurgo.yaml');
  await runTool(process.execPath, [join(import.meta.dirname, '..', '..', 'bin', 'resurgo'), 'init', '--config', config]);
  const recipient = /recipients: \[(age1[0-9a-z]+)\]/.exec((await import('node:fs')).readFileSync(config, 'utf8'))?.[1] ?? '';
  await writeFile(config, JSON.stringify({ version: 1, encryption: { recipients: [recipient], identity: { file: './resurgo.key' } }, repositories: { local: { type: 'disk', path: './repo' } }, targets: { shop: { type: 'postgres', engine: 'physical', connection: server.url(), wal: true } } }), { mode: 0o600 });
  return { config, dir: work.path, stop: () => work.stop() };
}

/** From the first byte to the moment the whole backlog is stored. */
async function archive(server: PostgresServer, config: string, end: bigint): Promise<Sample> {
  await server.sql('postgres', `select pg_drop_replication_slot('resurgo_shop') from pg_replication_slots where slot_name = 'resurgo_shop'; select pg_copy_physical_replication_slot('keep', 'resurgo_shop')`);
  const deps = createDeps(loadConfig(config), { host: 'bench', searchAttributes: false });
  const stop = new AbortController();
  const begun = performance.now();
  const running = archiveWal(deps, { target: 'shop', asked: [], forMs: 3_600_000 }, { signal: stop.signal, report: () => undefined }).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  try {
    const store = await deps.stores.open('local', { create: true });
    for (;;) {
      // Names only, now and then: looking must not cost what is measured.
      const [systemId] = await listWalSystems(store, 'shop');
      const pieces: WalPiece[] = [];
      if (systemId !== undefined) {
        for await (const key of store.listKeys?.(walPrefix('shop', systemId)) ?? []) {
          const piece = parsePieceName(key.slice(key.lastIndexOf('/') + 1));
          if (piece !== undefined) pieces.push(piece);
        }
      }
      const held = coverage(pieces);
      if (held.length === 1 && (held[0]?.end ?? 0n) >= end) return { value: (performance.now() - begun) / 1000 };
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 100))]);
    }
  } finally {
    stop.abort();
    await running;
    await deps.stores.close();
  }
}

/** Archiving a backlog against bare pg_receivewal; recovery through our restore_command against cp. */
export async function walThroughput(lab: Lab, wanted: ReadonlySet<string>): Promise<Measure[]> {
  const { server, end, base, megabytes } = await backlog(lab);
  const work = tempDir('bench-wal-peer', pgRunAs());
  const measures: Measure[] = [];
  const plainDir = join(work.path, 'plain');
  const receive = async (dir: string): Promise<Sample> => {
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { mode: 0o700 });
    await server.sql('postgres', `select pg_drop_replication_slot('peer') from pg_replication_slots where slot_name = 'peer'; select pg_copy_physical_replication_slot('keep', 'peer')`);
    const begun = performance.now();
    await runTool(join(server.pgBin, 'pg_receivewal'), ['-D', dir, '--slot', 'peer', '--endpos', end, '--no-loop', '-d', server.url()]);
    return { value: (performance.now() - begun) / 1000 };
  };
  if (wanted.has('wal-throughput')) {
    const hosts: (() => Promise<void>)[] = [];
    const samples = await interleave(lab.options.rounds, [
      { name: 'ours', run: async () => {
        const host = await hostFor(server);
        hosts.push(host.stop);
        return archive(server, host.config, parseLsn(end));
      } },
      { name: 'peer', run: () => receive(join(work.path, 'received')) },
    ], lab.note);
    for (const stop of hosts) await stop();
    measures.push(measureOf({ name: 'wal-throughput', what: `archiving a backlog of ${megabytes.toFixed(0)} MB, encrypted`, unit: 's', bar: 1.5, peerName: receivewal }, samples.get('ours') ?? [], samples.get('peer')));
  }
  if (wanted.has('wal-recovery')) {
    await receive(plainDir);
    giveToServer(plainDir);
    const host = await hostFor(server);
    await archive(server, host.config, parseLsn(end));
    const samples = await interleave(lab.options.rounds, [
      { name: 'ours', run: () => recoverOurs(server, host.config, base, end, join(work.path, 'ours')) },
      { name: 'peer', run: () => recoverPlain(server, base, plainDir, join(work.path, 'theirs')) },
    ], lab.note);
    await host.stop();
    measures.push(measureOf({ name: 'wal-recovery', what: `replay of ${megabytes.toFixed(0)} MB of WAL`, unit: 's', bar: 1.15, peerName: cpName }, samples.get('ours') ?? [], samples.get('peer')));
  }
  await server.stop();
  return measures;
}

async function freshCopy(base: string, dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await cp(base, dir, { recursive: true, preserveTimestamps: true });
  giveToServer(dir);
}

async function recoverPlain(server: PostgresServer, base: string, plain: string, dir: string): Promise<Sample> {
  await freshCopy(base, dir);
  await writeFile(join(dir, 'recovery.signal'), '');
  giveToServer(dir);
  const begun = performance.now();
  const local = await startLocalServer({ dataDir: dir, toolDirs: [server.pgBin], settings: { restore_command: `cp '${plain}/%f' "%p"`, recovery_target_timeline: '1' } });
  const value = (performance.now() - begun) / 1000;
  await local.stop();
  await rm(dir, { recursive: true, force: true });
  return { value };
}

async function recoverOurs(server: PostgresServer, config: string, base: string, end: string, dir: string): Promise<Sample> {
  await freshCopy(base, dir);
  const deps = createDeps(loadConfig(config), { host: 'bench', searchAttributes: false });
  const store = await deps.stores.open('local');
  const trusted = await deps.keys.trusted();
  const [systemId = ''] = await listWalSystems(store, 'shop');
  const lineages = await readArchive(store, 'shop', systemId, trusted);
  const [lineage] = lineages;
  if (lineage === undefined) throw new Error('nothing is archived');
  const start = BigInt(`0x${lineage.facts.start}`);
  const plan = {
    target: { kind: 'lsn' as const, value: end }, backup: '', systemId, lineage: lineage.id, timeline: 1, segmentBytes: lineage.segmentBytes, endLsn: end,
    steps: [{ lineage: lineage.id, timeline: 1, from: formatLsn(start), to: end }], segments: Number((parseLsn(end) - start) / BigInt(lineage.segmentBytes)), storedBytes: 0,
    window: { from: null, fromLsn: null, to: null, toLsn: null },
  };
  await dropOwnWal(dir, new Set([segmentFile(1, start, lineage.segmentBytes)]));
  const reader = new WalReader({ stores: [store], trusted, credentials: await deps.keys.credentials() });
  const begun = performance.now();
  let ready = 0;
  await recoverCluster({ dataDir: dir, target: 'shop', plan, lineages, reader, signal: new AbortController().signal, spool: `${dir}.wal`, toolDirs: [server.pgBin], onProgress: () => undefined, onReady: () => { ready = performance.now(); } });
  await deps.stores.close();
  await rm(dir, { recursive: true, force: true });
  return { value: (ready - begun) / 1000 };
}
