import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { checkout, freePort, pgRunAs, tempDir, toolsEnv, type TempDir } from '../../test/support/index.ts';
import { postmasterOf } from '../../test/support/failover-lab.ts';
import { ServerProcess, sleep } from '../../test/support/server-process.ts';
import { runTool } from '../tool.ts';

/** What its documentation allows at the least, and a dead server is not waited for: its fastest. */
const tuned = { ttl: 20, loop_wait: 1, retry_timeout: 3, maximum_lag_on_failover: 1_048_576, primary_start_timeout: 0 };
export const patroniName = 'Patroni tuned: loop_wait 1 s, primary_start_timeout 0, raft, two members and a voter';
const library = join(checkout, '.tools', 'patroni');

/** Undefined when Patroni is there, perhaps after installing it with pip; else why not. */
export async function ensurePatroni(note: (text: string) => void): Promise<string | undefined> {
  if (existsSync(join(library, 'patroni'))) return undefined;
  note('installing Patroni');
  // Whole, or not there.
  const fresh = `${library}.new`;
  try {
    rmSync(fresh, { recursive: true, force: true });
    await runTool('python3', ['-m', 'pip', 'install', '--quiet', '--target', fresh, 'patroni[raft]', 'psycopg[binary]']);
    renameSync(fresh, library);
    return undefined;
  } catch (error) {
    return `Patroni cannot be installed: ${error instanceof Error ? error.message.split('\n').slice(-2).join(' ') : String(error)}`;
  }
}

interface Member {
  readonly name: string;
  readonly port: number;
  readonly dataDir: string;
}

/** Two servers under Patroni on this host, and a third voter of their raft. */
export class PatroniCluster {
  readonly members: readonly Member[];
  private readonly work: TempDir;
  private readonly children: ServerProcess[] = [];

  private constructor(work: TempDir, members: readonly Member[]) {
    this.work = work;
    this.members = members;
  }

  static async start(): Promise<PatroniCluster> {
    const runAs = pgRunAs();
    const work = tempDir('patroni', runAs);
    const ports = await Promise.all(Array.from({ length: 7 }, () => freePort()));
    const members = ['a', 'b'].map((name, i) => ({ name, port: ports[3 + i] as number, dataDir: join(work.path, `data-${name}`) }));
    const cluster = new PatroniCluster(work, members);
    try {
      await cluster.begin(ports);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  private async begin(ports: readonly number[]): Promise<void> {
    const { work, members } = this;
    const runAs = pgRunAs();
    const raft = ports.slice(0, 3).map((port) => `127.0.0.1:${String(port)}`);
    const others = (own: number): string[] => raft.filter((_, i) => i !== own);
    const dir = (name: string): string => {
      mkdirSync(join(work.path, name), { mode: 0o700 });
      if (runAs !== undefined) chownSync(join(work.path, name), runAs.uid, runAs.gid);
      return join(work.path, name);
    };
    const write = (name: string, config: object): string => {
      const path = join(work.path, `${name}.yml`);
      // JSON is YAML.
      writeFileSync(path, JSON.stringify(config), { mode: 0o644 });
      return path;
    };
    this.run('voter', ['-c', 'from patroni.raft_controller import main; main()', write('voter', { raft: { self_addr: raft[2], partner_addrs: others(2), data_dir: dir('raft-voter') } })]);
    for (const [i, { name, port, dataDir }] of members.entries()) {
      const rest = `127.0.0.1:${String(ports[5 + i])}`;
      const login = (username: string): object => ({ username, password: 'bench' });
      this.run(name, ['-m', 'patroni', write(name, {
        scope: 'bench', name,
        restapi: { listen: rest, connect_address: rest },
        raft: { self_addr: raft[i], partner_addrs: others(i), data_dir: dir(`raft-${name}`) },
        bootstrap: {
          dcs: { ...tuned, postgresql: { use_pg_rewind: true, use_slots: true, parameters: { max_connections: 50, shared_buffers: '32MB' } } },
          initdb: [{ encoding: 'UTF8' }, 'data-checksums', { locale: 'C' }],
        },
        postgresql: {
          listen: `127.0.0.1:${String(port)}`, connect_address: `127.0.0.1:${String(port)}`, data_dir: dataDir, bin_dir: toolsEnv().pgBin, pgpass: join(work.path, `pgpass-${name}`),
          authentication: { superuser: login('postgres'), replication: login('replicator'), rewind: login('rewinder') },
          pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust', 'local all all trust'],
          parameters: { unix_socket_directories: work.path },
        },
      })]);
      // The first one makes the cluster, the second joins it.
      if (i === 0) await this.primary(120_000);
    }
  }

  /** Where a write is acknowledged, other than by `but`. */
  async primary(ms: number, but?: string): Promise<Member> {
    for (const until = performance.now() + ms; performance.now() < until; ) {
      for (const member of this.members) if (member.name !== but && (await this.ask(member, `create table if not exists w(at timestamptz); insert into w values (now())`))) return member;
      await sleep(20);
    }
    throw new Error(`no server of Patroni took a write within ${String(ms)} ms`);
  }

  /** Waits until a standby streams. */
  async ready(): Promise<Member> {
    for (const until = performance.now() + 120_000; performance.now() < until; ) {
      const primary = await this.primary(60_000);
      if (await this.ask(primary, `do $$ begin if not exists (select from pg_stat_replication where state = 'streaming') then raise 'not yet'; end if; end $$`)) return primary;
      await sleep(200);
    }
    throw new Error('no standby of Patroni streams');
  }

  kill(member: Member): void {
    process.kill(postmasterOf(member.dataDir), 'SIGKILL');
  }

  async stop(): Promise<void> {
    // Its servers end with it.
    await Promise.all(this.children.map((child) => child.end('SIGTERM')));
    await this.work.stop();
  }

  private async ask({ port }: Member, sql: string): Promise<boolean> {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', connectionTimeoutMillis: 1000, query_timeout: 5000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query(sql);
      return true;
    } catch {
      return false;
    } finally {
      void client.end().catch(() => undefined);
    }
  }

  private run(name: string, args: readonly string[]): void {
    const runAs = pgRunAs();
    this.children.push(new ServerProcess({
      name: `patroni ${name}`, file: 'python3', args, cwd: this.work.path, logFile: join(this.work.path, `${name}.log`),
      env: { PATH: process.env['PATH'], PYTHONPATH: library, HOME: this.work.path, LC_ALL: 'C', PYTHONDONTWRITEBYTECODE: '1' },
      ...(runAs === undefined ? {} : { runAs }),
    }));
  }
}
