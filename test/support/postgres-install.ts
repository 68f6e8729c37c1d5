import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pgRunAs } from './run-as.ts';
import { type TempDir, tempDir } from './temp.ts';
import { installedPostgres, toolsEnv } from './tools-env.ts';

let copy: TempDir | undefined;
let users = 0;

export interface Installation {
  readonly bin: string;
  /** Undoes a copy that was made; call once. */
  release(): Promise<void>;
}

/**
 * The programs of a PostgreSQL, where the user who runs the server can execute them: a checkout below a private directory
 * (/root) is out of its reach, so the installation is copied for as long as somebody uses it.
 * @throws when the asked major version is not installed
 */
export function postgresInstallation(major?: number): Installation {
  const env = toolsEnv();
  const bin = major === undefined || major === env.pgMajor ? env.pgBin : installedPostgres(major);
  if (!bin) throw new Error(`PostgreSQL ${String(major)} is not installed below /usr/lib/postgresql`);
  const runAs = pgRunAs();
  const reachable =
    !runAs || spawnSync(join(bin, 'postgres'), ['--version'], { uid: runAs.uid, gid: runAs.gid }).status === 0;
  if (reachable) return { bin, release: () => Promise.resolve() };
  if (!copy) {
    copy = tempDir('pgsql');
    cpSync(dirname(bin), copy.path, { recursive: true, verbatimSymlinks: true });
    chmodSync(copy.path, 0o755);
  }
  users++;
  return {
    bin: join(copy.path, 'bin'),
    release: async () => {
      if (--users > 0) return;
      await copy?.stop();
      copy = undefined;
    },
  };
}
