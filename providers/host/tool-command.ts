import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

import { ResurgoError } from '../../domain/errors.ts';

/** What a child inherits from this process; everything else must be given on purpose. */
const inherited = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'TMPDIR',
  'TZ',
  'LD_LIBRARY_PATH',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/** Environment of a child: few inherited variables, messages in English, then `extra` (undefined removes). */
export const toolEnvironment = (extra: Readonly<Record<string, string | undefined>> = {}): Record<string, string> => {
  const all: Record<string, string | undefined> = { LC_ALL: 'C', LANG: 'C' };
  for (const name of inherited) all[name] = process.env[name];
  Object.assign(all, extra);
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
};

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

/**
 * Absolute path of a program.
 * @throws toolMissing when it is not there or not executable
 */
export const resolveTool = (command: string, path: string | undefined = process.env['PATH']): string => {
  if (command.includes('/')) {
    if (isAbsolute(command) ? isExecutable(command) : isExecutable(join(process.cwd(), command))) return command;
    throw new ResurgoError(
      'toolMissing',
      existsSync(command) ? `${command} is not an executable file` : `${command} does not exist`,
      { details: { command } },
    );
  }
  for (const directory of (path ?? '').split(delimiter)) {
    if (directory !== '' && isExecutable(join(directory, command))) return join(directory, command);
  }
  throw new ResurgoError('toolMissing', `${command} was not found in PATH (${path ?? 'not set'})`, {
    details: { command },
  });
};

let deathPrefix: readonly string[] | undefined;

/**
 * `setpriv --pdeathsig KILL --` where the machine has it: the kernel then kills the child when the thread that started it dies,
 * so that no dump goes on behind a worker that was killed. Empty elsewhere.
 */
export const parentDeathPrefix = (): readonly string[] => {
  if (deathPrefix === undefined) {
    deathPrefix = [];
    try {
      const prefix = [resolveTool('setpriv'), '--pdeathsig', 'KILL', '--'];
      if (spawnSync(prefix[0] as string, [...prefix.slice(1), 'true'], { stdio: 'ignore', timeout: 5000 }).status === 0)
        deathPrefix = prefix;
    } catch {
      // Not Linux, or no util-linux: the child outlives a killed worker and is swept by providers/host/processes.ts.
    }
  }
  return deathPrefix;
};

/** Takes passwords out of text that may hold connection strings or URLs. */
export const redactSecrets = (text: string): string =>
  text
    .replace(/(\w:\/\/[^\s:/@]*):[^\s@]+@/g, '$1:***@')
    .replace(/\b((?:\w*password|passwd|secret|token)\s*[=:]\s*)('(?:[^'\\]|\\.)*'|"[^"]*"|[^\s'"&]+)/gi, '$1***');

/** The command line as a person may read it in a message: no secrets, not endless. */
export const describeCommand = (command: string, args: readonly string[]): string => {
  const line = redactSecrets(
    [command, ...args].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(' '),
  );
  return line.length <= 600 ? line : `${line.slice(0, 600)}…`;
};
