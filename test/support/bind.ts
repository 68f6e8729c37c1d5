/** A BIND name server for tests: one zone that takes updates signed with a key. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { debianTool } from './debian.ts';
import { freePort } from './ports.ts';
import { register, unregister, type Resource } from './resources.ts';
import { ServerProcess, tail } from './server-process.ts';
import { tempDir, type TempDir } from './temp.ts';

export interface BindOptions {
  readonly zone?: string;
  readonly algorithm?: string;
  /** Transfer the zone from there instead: a secondary. */
  readonly primary?: BindServer;
  /** Lines of the zone, beside SOA and NS. */
  readonly records?: readonly string[];
}

export class BindServer implements Resource {
  readonly port: number;
  readonly zone: string;
  readonly secret: string;
  readonly algorithm: string;
  readonly keyName = 'resurgo-key';
  private readonly work: TempDir;
  private process: ServerProcess | undefined;
  private readonly file: string;

  constructor(work: TempDir, port: number, file: string, options: BindOptions) {
    this.work = work;
    this.port = port;
    this.file = file;
    this.zone = options.primary?.zone ?? options.zone ?? 'example.test';
    this.algorithm = options.algorithm ?? 'hmac-sha256';
    this.secret = options.primary?.secret ?? randomBytes(32).toString('base64');
    register(this);
  }

  get name(): string {
    return `BIND on port ${String(this.port)}`;
  }

  get address(): string {
    return `127.0.0.1:${String(this.port)}`;
  }

  get configFile(): string {
    return join(this.work.path, 'named.conf');
  }

  /** `dns:` of the configuration. */
  config(extra: object = {}): Record<string, unknown> {
    return { server: this.address, zone: this.zone, key: { name: this.keyName, algorithm: this.algorithm, secret: this.secret }, ...extra };
  }

  async start(): Promise<void> {
    const logFile = join(this.work.path, 'named.log');
    this.process = new ServerProcess({ name: this.name, file: this.file, args: ['-g', '-c', this.configFile, '-n', '1', '-U', '1'], env: { PATH: process.env['PATH'], LC_ALL: 'C' }, cwd: this.work.path, logFile });
    await this.process.ready(() => / running\s*$/m.test(tail(logFile, 400)), 90_000);
  }

  log(): string {
    return tail(join(this.work.path, 'named.log'), 60);
  }

  async kill(): Promise<void> {
    await this.process?.end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.process?.end('SIGTERM', 10_000);
    await this.work.stop();
    unregister(this);
  }

  abandon(): void {
    this.process?.signal('SIGKILL');
  }
}

export async function startBind(options: BindOptions = {}): Promise<BindServer> {
  const file = await debianTool('named');
  const work = tempDir('bind');
  const port = await freePort();
  const server = new BindServer(work, port, file, options);
  mkdirSync(join(work.path, 'zones'), { mode: 0o700 });
  const zoneFile = join(work.path, 'zones', 'zone.db');
  writeFileSync(zoneFile, [`$TTL 60`, `@ IN SOA ns.${server.zone}. admin.${server.zone}. (1 3600 600 86400 60)`, '@ IN NS ns', 'ns IN A 127.0.0.1', ...(options.records ?? []), ''].join('\n'));
  const zone = options.primary === undefined
    ? `zone "${server.zone}" { type primary; file "${zoneFile}"; update-policy { grant ${server.keyName} zonesub ANY; }; allow-transfer { any; }; notify no; };`
    : `zone "${server.zone}" { type secondary; file "${join(work.path, 'zones', 'copy.db')}"; primaries { 127.0.0.1 port ${String(options.primary.port)}; }; max-refresh-time 1; min-refresh-time 1; };`;
  writeFileSync(server.configFile, `
options { directory "${work.path}"; listen-on port ${String(port)} { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; recursion no; dnssec-validation no; empty-zones-enable no; managed-keys-directory "${work.path}"; };
controls { };
key "${server.keyName}" { algorithm ${server.algorithm}; secret "${server.secret}"; };
${zone}
`, { mode: 0o600 });
  await server.start();
  return server;
}
