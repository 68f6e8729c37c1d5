/** Several Resurgos side by side, for cases that mostly wait: one Temporal, one PostgreSQL, one S3; each lane with a namespace, host, keys and repositories of its own. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resolveConnection } from '../../../providers/postgres/connection.ts';
import { digestDatabase } from '../../../providers/postgres/logical-digest.ts';
import { searchAttributeNames } from '../../../workers/search-attributes.ts';
import { leftBehind } from '../left-behind.ts';
import { startPostgres, type PostgresServer } from '../postgres.ts';
import { adversarialTree } from '../tree.ts';
import { tempDir, type TempDir } from '../temp.ts';
import type { TestService } from './service.ts';
import { s3Missing, startS3, type S3Server } from '../s3.ts';
import { sleep } from '../server-process.ts';
import { startStack, type Stack } from '../stack.ts';
import { startTemporal, type TemporalServer } from '../temporal.ts';

export interface Lane {
  readonly stack: Stack;
  readonly server: PostgresServer;
  /** Directory for restored clusters, of the user who runs them. */
  readonly place: string;
  readonly root: TempDir;
  readonly extra: LaneExtra | undefined;
}

/** What a suite adds to each lane. */
export interface LaneExtra {
  /** More targets, or more keys of the common ones. */
  readonly targets: Record<string, Record<string, unknown>>;
  /** Databases of the shared server that are the lane's. */
  readonly databases?: readonly string[];
  /** A server of the lane's own. */
  readonly cluster?: PostgresServer;
  readonly services?: Readonly<Record<string, TestService>>;
  stop(): Promise<void>;
}

export interface ArenaOptions {
  readonly lanes: number;
  readonly extend?: (lane: { readonly n: number; readonly place: string; readonly server: PostgresServer }) => Promise<LaneExtra>;
  /** Makes a second copy of the shop as a template for {@link copyShop}. */
  readonly template?: boolean;
  /** Rows of the larger table; a million is about 100 MB of COPY text. */
  readonly rows?: number;
}

const lanePassword = 'a lane';

/** Target → repositories. `spooled` has no disk repository, so that its parts go through the spool. */
export const routes = {
  physical: ['local', 'second'],
  mixed: ['local', 'cloud'],
  logical: ['local', 'cloud'],
  spooled: ['cloud'],
  single: ['local'],
} as const;

/** Whether a lane has already what a case would have to make. */
type Suits = (lane: Lane) => boolean;

export class Arena {
  readonly temporal: TemporalServer;
  readonly server: PostgresServer;
  readonly s3: S3Server | undefined;
  private readonly options: ArenaOptions;
  private readonly free: Lane[] = [];
  private readonly waiting: { readonly suits: Suits; readonly take: (lane: Lane) => void }[] = [];
  private readonly all = new Set<Lane>();
  private made = 0;
  private making = 0;
  private readonly treeDir = tempDir('crash-tree');
  /** Files that stand still, for all lanes. */
  readonly tree = join(this.treeDir.path, 'tree');

  constructor(parts: { temporal: TemporalServer; server: PostgresServer; s3: S3Server | undefined }, options: ArenaOptions) {
    ({ temporal: this.temporal, server: this.server, s3: this.s3 } = parts);
    this.options = options;
    adversarialTree(this.tree);
    // More parts than one.
    for (let i = 0; i < 6; i++) writeFileSync(join(this.tree, `part-${String(i)}`), randomBytes(9 * 1024 * 1024));
  }

  /** Digest of a database of the server. */
  async digest(database = 'shop', server = this.server): Promise<string> {
    return (await digestDatabase(resolveConnection(server.url(database)), {})).digest;
  }

  private async make(): Promise<Lane> {
    this.making++;
    try {
      return await this.makeLane(++this.made);
    } finally {
      this.making--;
    }
  }

  private async makeLane(n: number): Promise<Lane> {
    const namespace = `lane${String(n)}`;
    const { server, s3 } = this;
    const common = { type: 'postgres', password: { env: 'LANE_PASSWORD' }, toolsDir: server.pgBin, ...(server.runAs === undefined ? {} : { runAs: server.runAs.user }) };
    const physical = { ...common, engine: 'physical', connection: server.url('postgres', namespace) };
    const logical = { ...common, engine: 'logical', connection: server.url('shop', namespace), jobs: 2 };
    const root = tempDir('place', server.runAs);
    const place = root.path;
    // Sessions on the shared server are told apart by their role.
    await server.addRole(namespace, { password: lanePassword, superuser: true, replication: true });
    const targets: Record<string, Record<string, unknown>> = {
      physical: { ...physical, repositories: routes.physical, staging: place },
      logical: { ...logical, repositories: s3 === undefined ? ['local', 'second'] : routes.logical },
      single: { ...logical, repositories: routes.single },
      tree: { type: 'files', paths: [this.tree], repositories: routes.physical },
      bundle: { type: 'config', files: [this.tree], databases: ['single'], repositories: routes.physical },
      platform: { type: 'group', members: ['single', 'tree'], repositories: routes.physical },
      ...(s3 === undefined ? {} : { mixed: { ...physical, repositories: routes.mixed }, spooled: { ...logical, repositories: routes.spooled } }),
    };
    const extra = await this.options.extend?.({ n, place, server });
    for (const [name, more] of Object.entries(extra?.targets ?? {})) targets[name] = { ...common, ...targets[name], ...more };
    await this.temporal.addNamespace(namespace);
    const stack = await startStack({
      targets,
      repositories: {
        local: { type: 'disk', path: './repo' },
        second: { type: 'disk', path: './second' },
        ...(s3 === undefined ? {} : { cloud: { type: 's3', bucket: s3.bucket, prefix: `${namespace}/`, endpoint: s3.endpoint, region: s3.region, forcePathStyle: true, accessKeyId: { env: 'S3_KEY' }, secretAccessKey: { env: 'S3_SECRET' } } }),
      },
      shared: { temporal: this.temporal, namespace },
    });
    const lane: Lane = { stack, server, place, root, extra };
    this.all.add(lane);
    await stack.startWorker();
    return lane;
  }

  private async acquire(suits: Suits): Promise<Lane> {
    const [lane] = this.free.splice(Math.max(0, this.free.findIndex(suits)), 1);
    if (lane !== undefined) return lane;
    if (this.all.size + this.making < this.options.lanes) return this.make();
    return new Promise((take) => this.waiting.push({ suits, take }));
  }

  private release(lane: Lane): void {
    const [next] = this.waiting.splice(Math.max(0, this.waiting.findIndex(({ suits }) => suits(lane))), 1);
    if (next === undefined) this.free.push(lane);
    else next.take(lane);
  }

  /**
   * Runs a case in a lane of its own, if possible one that `suits`. A lane in which a case failed is thrown away: what it left must not
   * spoil the next.
   */
  async inLane<T>(work: (lane: Lane) => Promise<T>, suits: Suits = () => true): Promise<T> {
    const lane = await this.acquire(suits);
    try {
      const value = await work(lane);
      this.release(lane);
      return value;
    } catch (error) {
      this.all.delete(lane);
      const log = lane.stack.workerLog;
      await terminateAll(lane);
      await stopLane(lane);
      const next = this.waiting.shift();
      if (next !== undefined) this.make().then(next.take, () => { this.waiting.unshift(next); });
      if (error instanceof Error && log !== '') error.message += `\n--- worker log\n${log}`;
      throw error;
    }
  }

  /** Looks at the lane alone: others are at work on the same server. */
  leftBehind(lane: Lane, databases: readonly string[] = []): Promise<string[]> {
    const servers = lane.extra?.cluster?.isRunning === true ? [this.server, lane.extra.cluster] : [this.server];
    return leftBehind(lane.stack, { servers, databases: [...(lane.extra?.databases ?? []), ...databases], places: [lane.place], role: lane.stack.namespace });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.all].map(stopLane));
    await this.treeDir.stop();
    await this.temporal.stop();
    await this.s3?.stop();
    await this.server.stop();
  }
}

/** Nobody waits for a result any more when the connection is closed. */
async function terminateAll({ stack }: Lane): Promise<void> {
  const { client } = await stack.client();
  for await (const { workflowId } of client.workflow.list({ query: `ExecutionStatus = 'Running'` })) await client.workflow.getHandle(workflowId).terminate('its case failed').catch(() => undefined);
  await sleep(1000);
}

async function stopLane({ stack, root, extra }: Lane): Promise<void> {
  await stack.stop();
  await extra?.stop();
  await root.stop();
}

/** A database of two larger tables and some odd ones: its dump has several parts. */
export async function createShop(server: PostgresServer, rows: number): Promise<void> {
  await server.sql('postgres', 'create database shop');
  await server.sql('shop', `
    create table orders (id bigint generated always as identity primary key, note text, at timestamptz default now());
    insert into orders (note) select repeat(md5(i::text), 3) from generate_series(1, ${String(rows)}) i;
    create table items (id int primary key, "Weird ""name""" text not null default 'ä');
    insert into items select i, md5((i * 7)::text) from generate_series(1, ${String(Math.ceil(rows / 4))}) i;
    create table "Empty ""one""" (a int);`);
  await server.sql('shop', 'vacuum analyze');
}

/** A copy of the shop that nobody else uses, with the same digest. */
export async function copyShop(server: PostgresServer, name: string): Promise<void> {
  const [made] = await server.sql('postgres', `select 1 from pg_database where datname = 'shop_template'`);
  // The shop itself is in use while others dump it, and cannot be a template.
  if (made === undefined) throw new Error('no template: ask for it by `template: true`');
  for (let tries = 1; ; tries++) {
    try {
      await server.sql('postgres', `create database "${name}" template shop_template`);
      return;
    } catch (error) {
      if (tries > 20) throw error;
      await sleep(250);
    }
  }
}

export async function startArena(options: ArenaOptions): Promise<Arena> {
  const server = await startPostgres({ dataChecksums: true });
  await createShop(server, options.rows ?? 150_000);
  if (options.template === true) await server.sql('postgres', 'create database shop_template template shop');
  const temporal = await startTemporal({ searchAttributes: Object.fromEntries(searchAttributeNames.map((name) => [name, 'Keyword' as const])) });
  const s3 = s3Missing() === undefined ? await startS3() : undefined;
  process.env['LANE_PASSWORD'] = lanePassword;
  // Secrets are named by their variables; the test looks into the repositories too.
  if (s3 !== undefined) Object.assign(process.env, { S3_KEY: s3.accessKeyId, S3_SECRET: s3.secretAccessKey });
  return new Arena({ temporal, server, s3 }, options);
}

/** The path of something in a lane. */
export const inPlace = (lane: Lane, name: string): string => join(lane.place, name);
