import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir, type PostgresServer, type TempDir } from '../../test/support/index.ts';
import { runPipeline, runTool } from '../tool.ts';
import type { Sample } from '../types.ts';

export const dumpPeers = {
  gzip: { name: 'pg_dump | gzip', script: '"$1" "$2" | gzip > "$3"' },
  zstd: { name: 'pg_dump | zstd -T2', script: '"$1" "$2" | zstd -q -T2 -3 > "$3"' },
} as const;

/** What people use today, without encryption, reading back or syncing. */
export class PgDump {
  private readonly server: PostgresServer;
  private readonly database: string;
  private readonly work: TempDir;

  constructor(server: PostgresServer, database: string) {
    this.server = server;
    this.database = database;
    this.work = tempDir('pg-dump');
  }

  async dump(peer: keyof typeof dumpPeers, database = this.database): Promise<Sample> {
    const file = join(this.work.path, `${database}.${peer}`);
    rmSync(file, { force: true });
    const begun = performance.now();
    await runPipeline(dumpPeers[peer].script, [join(this.server.pgBin, 'pg_dump'), this.server.url(database), file]);
    return { value: (performance.now() - begun) / 1000, storedBytes: statSync(file).size };
  }

  /** Makes the directory dump that {@link restore} restores; not measured. */
  async prepare(): Promise<void> {
    await runTool(join(this.server.pgBin, 'pg_dump'), [
      '-Fd',
      '-j2',
      '-f',
      join(this.work.path, 'directory'),
      this.server.url(this.database),
    ]);
  }

  async restore(to: string): Promise<Sample> {
    const begun = performance.now();
    await this.server.sql('postgres', `create database ${to}`);
    await runTool(join(this.server.pgBin, 'pg_restore'), [
      '-j2',
      '-d',
      this.server.url(to),
      join(this.work.path, 'directory'),
    ]);
    return { value: (performance.now() - begun) / 1000 };
  }

  async stop(): Promise<void> {
    await this.work.stop();
  }
}
