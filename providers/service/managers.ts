import { realpath } from 'node:fs/promises';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { runTool, type ToolResult } from '../host/child.ts';
import { assertPrivateFile } from '../host/files.ts';
import { resolveTool } from '../host/tool-command.ts';
import type { ServiceManager, ServiceSpec, ServiceState } from './manager.ts';

type Run = (command: readonly string[], signal?: AbortSignal, okExitCodes?: readonly number[]) => Promise<ToolResult>;

const everyExitCode = Array.from({ length: 256 }, (_, code) => code);

const runner = ({ timeoutMs }: ServiceSpec): Run => async ([program = '', ...args], signal, okExitCodes) =>
  runTool({ command: program, args, signal, timeoutMs, ...(okExitCodes === undefined ? {} : { okExitCodes }) });

function systemd(spec: ServiceSpec): ServiceManager {
  const run = runner(spec);
  const unit = spec.name;
  const act = async (verb: string, signal?: AbortSignal): Promise<void> => {
    await run(['systemctl', '--no-ask-password', verb, '--', unit], signal);
  };
  return {
    kind: 'systemd',
    async state(signal) {
      const { stdout } = await run(['systemctl', 'show', '--property=LoadState,ActiveState,SubState,MainPID,ExecMainStartTimestampMonotonic', '--', unit], signal);
      const facts = Object.fromEntries(stdout.trim().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
      if (facts['LoadState'] !== 'loaded') return undefined;
      const { ActiveState: active = '', SubState: sub = '', MainPID: pid = '0', ExecMainStartTimestampMonotonic: since = '' } = facts;
      return { running: active === 'active', words: `${active} (${sub})`, ...(pid === '0' ? {} : { identity: `${pid}@${since}` }) };
    },
    start: (signal) => act('start', signal),
    stop: (signal) => act('stop', signal),
    restart: (signal) => act('restart', signal),
  };
}

function docker(spec: ServiceSpec): ServiceManager {
  const run = runner(spec);
  const act = async (verb: string, signal?: AbortSignal): Promise<void> => {
    await run(['docker', verb, spec.name], signal);
  };
  return {
    kind: 'docker',
    async state(signal) {
      const { exitCode, stdout, stderr } = await run(['docker', 'container', 'inspect', '--format', '{{.State.Status}} {{.State.Running}} {{.State.Pid}} {{.State.StartedAt}}', spec.name], signal, everyExitCode);
      if (exitCode !== 0) {
        if (/no such (container|object)/i.test(stderr)) return undefined;
        throw new ResurgoError('serviceFailed', `docker does not tell about ${spec.name}: ${stderr.slice(-500)}`);
      }
      const [status = '', running = '', pid = '0', since = ''] = stdout.trim().split(' ');
      return { running: running === 'true', words: status, ...(pid === '0' ? {} : { identity: `${pid}@${since}` }) };
    },
    start: (signal) => act('start', signal),
    stop: (signal) => act('stop', signal),
    restart: (signal) => act('restart', signal),
  };
}

function pm2(spec: ServiceSpec): ServiceManager {
  const run = runner(spec);
  const act = async (verb: string, signal?: AbortSignal): Promise<void> => {
    await run(['pm2', verb, spec.name, '--silent'], signal);
  };
  return {
    kind: 'pm2',
    async state(signal) {
      const { stdout } = await run(['pm2', 'jlist', '--silent'], signal);
      const begin = stdout.indexOf('[');
      const list = JSON.parse(begin < 0 ? '[]' : stdout.slice(begin)) as { name?: string; pid?: number; pm2_env?: { status?: string; pm_uptime?: number; restart_time?: number } }[];
      const found = list.filter(({ name }) => name === spec.name);
      if (found.length === 0) return undefined;
      const running = found.every(({ pm2_env: env }) => env?.status === 'online');
      return { running, words: found.map(({ pm2_env: env }) => env?.status ?? '?').join(', '), identity: found.map(({ pid, pm2_env: env }) => `${String(pid ?? 0)}@${String(env?.pm_uptime ?? 0)}`).join(',') };
    },
    start: (signal) => act('start', signal),
    stop: (signal) => act('stop', signal),
    restart: (signal) => act('restart', signal),
  };
}

/** Plain commands; `status` ends with 0 while the service runs, and what it writes (a process id) tells one start from the next. */
function plain(spec: ServiceSpec): ServiceManager {
  const run = runner(spec);
  const { start, stop, status, restart } = spec.commands ?? {};
  const act = async (what: string, command: readonly string[] | undefined, signal?: AbortSignal): Promise<void> => {
    if (command === undefined) throw new ResurgoError('inputInvalid', `service ${spec.name} has no ${what} command`);
    await assertPrivateFile(await realpath(resolveTool(command[0] ?? '')), 'write');
    await run(command, signal);
  };
  return {
    kind: 'command',
    async state(signal): Promise<ServiceState> {
      if (status === undefined) throw new ResurgoError('inputInvalid', `service ${spec.name} has no status command`);
      await assertPrivateFile(await realpath(resolveTool(status[0] ?? '')), 'write');
      const { exitCode, stdout } = await run(status, signal, everyExitCode);
      const words = stdout.trim().split('\n')[0]?.slice(0, 200) ?? '';
      return { running: exitCode === 0, words: exitCode === 0 ? 'running' : `not running (exit code ${String(exitCode)})`, ...(words === '' || exitCode !== 0 ? {} : { identity: words }) };
    },
    start: (signal) => act('start', start, signal),
    stop: (signal) => act('stop', stop, signal),
    ...(restart === undefined ? {} : { restart: (signal?: AbortSignal) => act('restart', restart, signal) }),
  };
}

const makers = { systemd, docker, pm2, command: plain } as const;

/**
 * The manager that keeps the service; `auto` asks each one installed on this host.
 * @throws serviceFailed when none, or more than one, knows it
 */
export async function findManager(spec: ServiceSpec, signal?: AbortSignal): Promise<ServiceManager> {
  if (spec.manager !== 'auto') return makers[spec.manager](spec);
  if (spec.commands?.status !== undefined) return plain(spec);
  const found: ServiceManager[] = [];
  const asked: string[] = [];
  for (const kind of ['systemd', 'docker', 'pm2'] as const) {
    const manager = makers[kind](spec);
    try {
      const state = await manager.state(signal);
      asked.push(kind);
      if (state !== undefined) found.push(manager);
    } catch (error) {
      if (isResurgoError(error, 'cancelled')) throw error;
      // Not installed here, or not running: it keeps no services.
      if (!isResurgoError(error, 'toolMissing')) asked.push(`${kind} (${error instanceof Error ? (error.message.split('\n')[0] ?? '').slice(0, 120) : 'failed'})`);
    }
  }
  const [only, other] = found;
  if (only !== undefined && other === undefined) return only;
  throw new ResurgoError('serviceFailed', only === undefined ? `no service manager of this host knows ${spec.name}; asked: ${asked.join(', ') || 'none is installed'}` : `${found.map(({ kind }) => kind).join(' and ')} both know ${spec.name}; say which by manager`, { details: { hint: 'Name it by manager: systemd, docker, pm2 or command (with start, stop and status).' } });
}
