/** The sandbox's own server: a daemon of the data's owner, isolated as in a drill, started and stopped by a program that hooks and plans can call too. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sandbox } from '../../domain/gameday.ts';
import { runTool } from '../../providers/host/child.ts';
import { writeFileAtomic } from '../../providers/host/files.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { readControlData } from '../../providers/postgres/control-data.ts';
import { clusterOwner, isolate } from '../../providers/postgres/isolation.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { findPgTool } from '../../providers/postgres/tools.ts';
import { sandboxPort, sandboxUrl } from './deps.ts';

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Writes the files of the server and the program that controls it. May be called again. */
export async function writeControl({ dataDir, home, control, major, toolDirs }: Pick<Sandbox, 'dataDir' | 'home' | 'control'> & { readonly major: number; readonly toolDirs: readonly string[] }): Promise<void> {
  const find = { dirs: toolDirs };
  const pgCtl = await findPgTool('pg_ctl', major, find);
  const owner = await clusterOwner(dataDir);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const log = join(home, 'server.log');
  await writeFile(log, '', { mode: 0o600, flag: 'a' });
  if (owner !== undefined) await chown(log, owner.uid, owner.gid);
  const settings: Record<string, string> = {
    ...(await isolate({ home, control: await readControlData(dataDir, major, find), major, owner })),
    // The plan may end sessions and watch them as in earnest.
    cluster_name: 'resurgo-gameday',
    port: String(sandboxPort),
  };
  const options = Object.entries(settings).map(([name, value]) => `-c ${quoted(`${name}=${value}`)}`).join(' ');
  const become = owner !== undefined ? [resolveTool('setpriv'), '--reuid', String(owner.uid), '--regid', String(owner.gid), '--clear-groups', '--'].map(quoted).join(' ') : '';
  const run = `${become} ${quoted(pgCtl.path)} -D ${quoted(dataDir)}`;
  await writeFileAtomic(control, `#!/bin/sh
# Starts and stops the server of a game day; its sandbox is removed with it.
cd / || exit 1
case "$1" in
  start)
    ${run} status >/dev/null 2>&1 && exit 0
    ${run} start -s -w -t 600 -l ${quoted(log)} -o ${quoted(options)} </dev/null >/dev/null 2>&1 && exit 0
    tail -n 5 ${quoted(log)} >&2
    exit 1 ;;
  stop)
    ${run} status >/dev/null 2>&1 || exit 0
    exec ${run} stop -s -w -t 120 -m fast ;;
  status)
    exec ${run} status ;;
esac
exit 2
`);
  await chmod(control, 0o700);
}

export async function controlServer({ control }: Pick<Sandbox, 'control'>, word: 'start' | 'stop', signal?: AbortSignal): Promise<void> {
  await runTool({ command: control, args: [word], timeoutMs: word === 'start' ? 660_000 : 150_000, ...(signal === undefined ? {} : { signal }) });
}

export const sandboxConnection = (sandbox: Pick<Sandbox, 'home' | 'superuser' | 'database'>, database?: string): PostgresConnection =>
  resolveConnection(sandboxUrl({ ...sandbox, database: database ?? sandbox.database }), { applicationName: 'resurgo-gameday', connectTimeoutMs: 5000 });

/** In words, or undefined when it answers. */
export async function silence(sandbox: Sandbox, signal: AbortSignal): Promise<string | undefined> {
  try {
    await withClient(sandboxConnection(sandbox), (client) => client.query('select 1'), { signal });
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  }
}
