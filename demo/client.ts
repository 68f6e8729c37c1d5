import { Resolver } from 'node:dns/promises';
import pg from 'pg';
import { sleep } from '../test/support/index.ts';

export interface Asked {
  /** The name server, `address:port`. */
  readonly server: string;
  readonly name: string;
}

/** What a name server answers; empty when it does not. */
export async function ask({ server, name }: Asked): Promise<string> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([server]);
  return (await resolver.resolve4(name).catch(() => [] as string[])).join(', ');
}

export interface Account {
  /** Inserts the database said were done. */
  readonly numbers: readonly number[];
  /** Longest time between two of them, ms. */
  readonly gapMs: number;
}

export interface Served {
  readonly port: number;
  /** Where the name leads now; empty when nobody knows. */
  readonly where: () => Promise<string>;
}

/** An application: it asks where its database is whenever it connects, and inserts numbers one after the other. */
export class ShopClient {
  private readonly server: Served;
  private readonly addresses: string[] = [];
  private readonly done: number[] = [];
  private next = 1;
  private last: number | undefined;
  private gapMs = 0;
  private ended = false;
  private running: Promise<void> = Promise.resolve();

  constructor(server: Served) {
    this.server = server;
  }

  start(): void {
    this.last = performance.now();
    this.running = this.run();
  }

  /** Inserts so far. */
  get acknowledged(): number {
    return this.done.length;
  }

  /** Where the newest insert went. */
  get address(): string | undefined {
    return this.addresses.at(-1);
  }

  async stop(): Promise<Account> {
    this.ended = true;
    await this.running;
    return { numbers: this.done, gapMs: this.gapMs };
  }

  private async run(): Promise<void> {
    while (!this.ended) {
      const host = await this.server.where();
      if (host === '') {
        await sleep(50);
        continue;
      }
      const client = new pg.Client({ host, port: this.server.port, user: 'postgres', database: 'shop', connectionTimeoutMillis: 500, query_timeout: 1000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        while (this.goesOn()) {
          const number = this.next++;
          await client.query('insert into t (note) values ($1)', [String(number)]);
          this.took(number, host);
          await sleep(20);
        }
      } catch {
        await sleep(50);
      } finally {
        await client.end().catch(() => undefined);
      }
    }
  }

  private goesOn(): boolean {
    return !this.ended;
  }

  private took(number: number, host: string): void {
    const now = performance.now();
    this.gapMs = Math.max(this.gapMs, now - (this.last ?? now));
    this.last = now;
    this.done.push(number);
    if (this.addresses.at(-1) !== host) this.addresses.push(host);
  }
}
