import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir, type PostgresServer, type TempDir } from '../../test/support/index.ts';
import { runTool } from '../tool.ts';
import type { Sample } from '../types.ts';

export const pgBackRestFile = '/usr/bin/pgbackrest';
export const pgBackRestName = 'pgBackRest, zst 3, AES-256, 2 processes';

/** pgBackRest on one server, with a repository of its own. */
export class PgBackRest {
  private readonly work: TempDir;
  private readonly config: string;
  private readonly repository: string;

  private constructor(work: TempDir) {
    this.work = work;
    this.config = join(work.path, 'pgbackrest.conf');
    this.repository = join(work.path, 'repository');
  }

  static async create(server: PostgresServer): Promise<PgBackRest> {
    const peer = new PgBackRest(tempDir('pgbackrest'));
    for (const name of ['repository', 'log', 'lock', 'spool']) mkdirSync(join(peer.work.path, name));
    const settings = {
      'repo1-path': peer.repository,
      'repo1-cipher-type': 'aes-256-cbc',
      'repo1-cipher-pass': randomBytes(32).toString('base64'),
      'repo1-retention-full': '9999',
      'compress-type': 'zst',
      'compress-level': '3',
      'process-max': '2',
      'start-fast': 'y',
      // In its favour: it need not store the WAL that makes the backup consistent, as ours does.
      'archive-check': 'n',
      'log-path': join(peer.work.path, 'log'),
      'lock-path': join(peer.work.path, 'lock'),
      'spool-path': join(peer.work.path, 'spool'),
      'log-level-console': 'error',
      'log-level-file': 'off',
    };
    const stanza = {
      'pg1-path': server.dataDir,
      'pg1-port': String(server.port),
      'pg1-socket-path': server.socketDir,
      'pg1-user': 'postgres',
    };
    const lines = (section: object): string =>
      Object.entries(section)
        .map(([name, value]) => `${name}=${String(value)}\n`)
        .join('');
    writeFileSync(peer.config, `[global]\n${lines(settings)}\n[bench]\n${lines(stanza)}`, { mode: 0o600 });
    await peer.run('stanza-create');
    return peer;
  }

  async backup(type: 'full' | 'incr' = 'full'): Promise<Sample> {
    const begun = performance.now();
    await this.run('backup', `--type=${type}`);
    const value = (performance.now() - begun) / 1000;
    const newest = readdirSync(join(this.repository, 'backup', 'bench'))
      .filter((name) => /^\d{8}-/.test(name))
      .sort()
      .at(-1);
    return {
      value,
      storedBytes: newest === undefined ? 0 : treeBytes(join(this.repository, 'backup', 'bench', newest)),
    };
  }

  /** The newest backup into an empty directory; it syncs what it writes, as we do. */
  async restore(directory: string): Promise<Sample> {
    const begun = performance.now();
    await this.run('restore', `--pg1-path=${directory}`);
    return { value: (performance.now() - begun) / 1000 };
  }

  async stop(): Promise<void> {
    await this.work.stop();
  }

  private async run(command: string, ...args: string[]): Promise<void> {
    await runTool(pgBackRestFile, [`--config=${this.config}`, '--stanza=bench', ...args, command]);
  }
}

function treeBytes(path: string): number {
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
