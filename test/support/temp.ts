import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeSharedMemory } from './postgres-cluster.ts';
import { type RunAs, pgRunAs } from './run-as.ts';
import { type Resource, register, unregister } from './resources.ts';

let prefix = 'resurgo-test-';

/** The demo's directories say that they are the demo's; before the first one is made. */
export function nameTempDirs(kind: 'test' | 'demo'): void {
  prefix = `resurgo-${kind}-`;
}

const startTime = (pid: number | string): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
};

/** Directories of test processes that were killed, and the shared memory of the servers in them. */
function sweep(base: string): void {
  for (const name of readdirSync(base)) {
    const match = /^resurgo-(?:test|demo)-(\d+)-(\d+)-/.exec(name);
    if (!match?.[1] || startTime(match[1]) === match[2]) continue;
    try {
      for (const each of readdirSync(join(base, name))) removeSharedMemory(join(base, name, each, 'data'));
      rmSync(join(base, name), { recursive: true, force: true });
    } catch {
      // Another test process sweeps too, or it belongs to another user.
    }
  }
}

/** The temp directory, or /tmp where the user who runs PostgreSQL cannot enter it. */
function base(): string {
  const runAs = pgRunAs();
  const dir = tmpdir();
  if (!runAs || dir === '/tmp') return dir;
  return spawnSync('test', ['-x', `${dir}/.`], { uid: runAs.uid, gid: runAs.gid }).status === 0 ? dir : '/tmp';
}

let root: string | undefined;

/** One directory per test process; everything of it lies below, so what is left is seen. */
function processRoot(): string {
  if (root && existsSync(root)) return root;
  const dir = base();
  sweep(dir);
  root = mkdtempSync(join(dir, `${prefix}${String(process.pid)}-${startTime(process.pid) ?? '0'}-`));
  chmodSync(root, 0o711);
  return root;
}

export interface TempDir extends Resource {
  readonly path: string;
}

let counter = 0;

/**
 * A private (0700) directory, of the given user where one is given. When we are root and it stays ours, others may pass
 * through it (0711): a cluster restored into it is run by another user.
 */
export function tempDir(name = 'dir', owner?: RunAs): TempDir {
  const path = join(processRoot(), `${name}-${String(++counter)}`);
  mkdirSync(path);
  chmodSync(path, pgRunAs() && !owner ? 0o711 : 0o700);
  if (owner) chownSync(path, owner.uid, owner.gid);
  const remove = (): void => {
    rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    unregister(resource);
    if (root && existsSync(root) && readdirSync(root).length === 0) rmSync(root, { recursive: true, force: true });
  };
  const resource: TempDir = {
    name: `temp directory ${path}`,
    path,
    stop: () => {
      remove();
      return Promise.resolve();
    },
    abandon: remove,
  };
  register(resource);
  return resource;
}

/** What this process's temp root still holds. */
export const tempLeftovers = (): readonly string[] =>
  root && existsSync(root) ? readdirSync(root).map((name) => join(root as string, name)) : [];
