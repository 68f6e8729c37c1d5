/** A network of its own for a server, connected to this machine by one cable that can be pulled. Needs root and `ip`. */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { register, unregister, type Resource } from './resources.ts';
import { killQuietly } from './server-process.ts';

const ip = (...args: string[]): { ok: boolean; words: string } => {
  const { status, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  return { ok: status === 0, words: stderr };
};

export class NetworkNamespace implements Resource {
  readonly name: string;
  readonly address: string;
  private readonly cable: string;
  private readonly far: string;

  constructor(id: string, net: number) {
    this.name = `rg${id}`;
    this.cable = `rgv${id}`;
    this.far = `rgw${id}`;
    this.address = `10.213.${String(net)}.2`;
    register(this);
  }

  /** At the far end: what is sent there is lost, as by a broken switch. Here it would only be sent elsewhere. */
  pull(): void {
    ip('-n', this.name, 'link', 'set', this.far, 'down');
  }

  plug(): void {
    ip('-n', this.name, 'link', 'set', this.far, 'up');
  }

  /** Runs a program inside; it is ended with {@link stop} at the latest. */
  spawn(args: readonly string[], options: { readonly uid?: number; readonly gid?: number; readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {}): ReturnType<typeof spawn> {
    const as = options.uid === undefined ? [] : ['setpriv', '--reuid', String(options.uid), '--regid', String(options.gid ?? options.uid), '--clear-groups'];
    return spawn('ip', ['netns', 'exec', this.name, ...as, ...args], { stdio: ['ignore', 'pipe', 'pipe'], cwd: options.cwd ?? '/', env: options.env ?? { PATH: process.env['PATH'], LC_ALL: 'C' } });
  }

  stop(): Promise<void> {
    this.abandon();
    unregister(this);
    return Promise.resolve();
  }

  abandon(): void {
    const { stdout } = spawnSync('ip', ['netns', 'pids', this.name], { encoding: 'utf8' });
    for (const pid of stdout.split('\n').map(Number)) if (pid > 1) killQuietly(pid);
    ip('link', 'del', this.cable);
    ip('netns', 'del', this.name);
  }
}

/** Undefined where this machine does not allow it, with the reason. */
export function makeNamespace(): NetworkNamespace | { readonly missing: string } {
  const id = randomBytes(3).toString('hex');
  const net = 1 + (randomBytes(1)[0] ?? 0) % 250;
  const steps = [
    ['netns', 'add', `rg${id}`], ['link', 'add', `rgv${id}`, 'type', 'veth', 'peer', 'name', `rgw${id}`], ['link', 'set', `rgw${id}`, 'netns', `rg${id}`],
    ['addr', 'add', `10.213.${String(net)}.1/24`, 'dev', `rgv${id}`], ['link', 'set', `rgv${id}`, 'up'],
    ['-n', `rg${id}`, 'addr', 'add', `10.213.${String(net)}.2/24`, 'dev', `rgw${id}`], ['-n', `rg${id}`, 'link', 'set', `rgw${id}`, 'up'], ['-n', `rg${id}`, 'link', 'set', 'lo', 'up'],
  ];
  for (const step of steps) {
    const { ok, words } = ip(...step);
    if (ok) continue;
    ip('link', 'del', `rgv${id}`);
    ip('netns', 'del', `rg${id}`);
    return { missing: `no network namespace here: ip ${step.join(' ')}: ${words.trim()}` };
  }
  return new NetworkNamespace(id, net);
}
