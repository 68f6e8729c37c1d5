/** The sandbox's own server: a daemon of the data's owner, isolated as in a drill, started and stopped by a program that hooks and plans can call too. */
import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { Sandbox } from '../../domain/gameday.ts';
import { runTool } from '../../providers/host/child.ts';
import { writeFileAtomic } from '../../providers/host/files.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { readControlData } from '../../providers/postgres/control-data.ts';
import { isolation } from '../../providers/postgres/local-server.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { findPgTool } from '../../providers/postgres/tools.ts';
import { sandboxPort, sandboxUrl } from './deps.ts';

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Writes the files of the server and the program that controls it. May be called again. */
export async function writeControl({ dataDir, home, control, major, toolDirs }: Pick<Sandbox, 'dataDir' | 'home' | 'control'> & { readonly major: number; readonly toolDirs: readonly string[] }): Promise<void> {
  const find = { dirs: toolDirs };
  const pgCtl = await findPgTool('pg_ctl', major, find);
  const { uid, gid } = await stat(dataDir);
  const asRoot = process.getuid?.() === 0;
  if (asRoot && uid === 0) throw new ResurgoError('restoreFailed', `${dataDir} belongs to root, as which PostgreSQL does not run.`);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const [hba, ident, config, log] = ['pg_hba.conf', 'pg_ident.conf', 'postgresql.conf', 'server.log'].map((name) => join(home, name)) as [string, string, string, string];
  await writeFile(hba, 'local all all trust\n', { mode: 0o600 });
  for (const file of [ident, config]) await writeFile(file, '', { mode: 0o600 });
  await writeFile(log, '', { mode: 0o600, flag: 'a' });
  await chmod(home, 0o700);
  if (asRoot) for (const path of [hba, ident, config, log, home]) await chown(path, uid, gid);
  const settings: Record<string, string> = {
    ...isolation(await readControlData(dataDir, major, find)),
    ...(major >= 17 ? { event_triggers: 'off' } : {}),
    // The plan may end sessions and watch them as in earnest.
    cluster_name: 'resurgo-gameday',
    unix_socket_directories: home, unix_socket_permissions: '0700', config_file: config, hba_file: hba, ident_file: ident, port: String(sandboxPort),
  };
  const options = Object.entries(settings).map(([name, value]) => `-c ${quoted(`${name}=${value}`)}`).join(' ');
  const become = asRoot ? [resolveTool('setpriv'), '--reuid', String(uid), '--regid', String(gid), '--clear-groups', '--'].map(quoted).join(' ') : '';
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
