import { installedPostgres, startPostgres, type PostgresServer } from '../test/support/index.ts';
import { stopAll } from '../test/support/resources.ts';
import { databaseName, fillDatabase, serverSettings } from './database.ts';
import { ensureInstalled } from './peers/install.ts';
import { PgBackRest, pgBackRestFile } from './peers/pgbackrest.ts';
import { PgDump } from './peers/pg-dump.ts';
import { ResurgoHost, type Target } from './resurgo-host.ts';
import type { BenchOptions } from './types.ts';

/** A peer that may be missing. */
export type Peer<T> =
  { readonly tool: T; readonly reason?: undefined } | { readonly tool?: undefined; readonly reason: string };

/** Servers, peers and our own host: made when first asked for, kept for the measures that follow, gone with {@link close}. */
export class Lab {
  readonly options: BenchOptions;
  readonly note: (text: string) => void;
  private readonly made = new Map<string, Promise<unknown>>();

  constructor(options: BenchOptions, note: (text: string) => void) {
    this.options = options;
    this.note = note;
  }

  /** The version pgBackRest of Debian 12 knows; undefined where it cannot be had. */
  postgres15(): Promise<Peer<PostgresServer>> {
    return this.once('postgres15', async () => {
      const reason = await ensureInstalled('/usr/lib/postgresql/15/bin/initdb', 'postgresql-15', this.note);
      if (reason !== undefined || installedPostgres(15) === undefined)
        return { reason: reason ?? 'PostgreSQL 15 is missing' };
      return { tool: await this.server(15) };
    });
  }

  /** The newest version there is here: the one with incremental backups. */
  postgres18(): Promise<PostgresServer> {
    return this.once('postgres18', () => this.server());
  }

  /** The server of the comparisons with peers: 15 where it can be had, so that all of them meet the same database. */
  async shared(): Promise<PostgresServer> {
    return (await this.postgres15()).tool ?? this.postgres18();
  }

  pgBackRest(): Promise<Peer<PgBackRest>> {
    return this.once('pgbackrest', async () => {
      const server = await this.postgres15();
      if (server.tool === undefined) return { reason: server.reason };
      const reason = await ensureInstalled(pgBackRestFile, 'pgbackrest', this.note);
      return reason === undefined ? { tool: await PgBackRest.create(server.tool) } : { reason };
    });
  }

  async pgDump(): Promise<PgDump> {
    const server = await this.shared();
    return this.once('pg_dump', () => Promise.resolve(new PgDump(server, databaseName)));
  }

  /** Our side with one target per way of backing up that database. */
  async resurgo(server: PostgresServer, which: string): Promise<ResurgoHost> {
    return this.once(`resurgo ${which}`, async () => {
      const host = await ResurgoHost.create(targetsOf(server));
      this.note('starting resurgo up');
      await host.start();
      return host;
    });
  }

  /** A host that nothing is asked of: for what `resurgo up` costs by itself. */
  idle(): Promise<ResurgoHost> {
    return this.once('resurgo idle', async () => {
      const connection = 'postgres://postgres@127.0.0.1:1/postgres';
      const host = await ResurgoHost.create({ nothing: { type: 'postgres', engine: 'logical', connection } });
      await host.start();
      return host;
    });
  }

  /** Ends what {@link resurgo} started under this name, so that it costs the next measures nothing. */
  async end(which: string): Promise<void> {
    const host = (await this.made.get(`resurgo ${which}`)) as ResurgoHost | undefined;
    this.made.delete(`resurgo ${which}`);
    await host?.stop();
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.made.values());
    this.made.clear();
    await stopAll();
  }

  /** The way out on Ctrl-C: waits for nothing that is still being made. */
  async abort(): Promise<void> {
    await stopAll().catch(() => undefined);
  }

  private async server(major?: number): Promise<PostgresServer> {
    const server = await startPostgres({ ...serverSettings, ...(major === undefined ? {} : { major }) });
    this.note(`filling a database of ${String(this.options.size)} MB in PostgreSQL ${String(server.major)}`);
    await fillDatabase(server, this.options.size);
    return server;
  }

  private once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const known = this.made.get(name) as Promise<T> | undefined;
    if (known !== undefined) return known;
    const making = make();
    this.made.set(name, making);
    return making;
  }
}

/** Everything but the depth of the read-back is as it comes. */
export function targetsOf(server: PostgresServer): Record<string, Target> {
  const physical = { type: 'postgres', engine: 'physical', connection: server.url(), toolsDir: server.pgBin };
  const logical = { ...physical, engine: 'logical', connection: server.url(databaseName) };
  return {
    physical,
    'physical-checksum': { ...physical, verify: 'checksum' },
    'physical-content': { ...physical, verify: 'content' },
    logical,
    'logical-checksum': { ...logical, verify: 'checksum' },
  };
}
