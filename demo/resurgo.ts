import { join } from 'node:path';
import { checkout } from '../test/support/index.ts';
import { DemoError, type Ended, run } from './children.ts';
import type { Stage } from './stage.ts';

const bin = join(checkout, 'bin', 'resurgo');

/** The words of a command line, for a shell. */
const shown = (args: readonly string[]): string =>
  ['resurgo', ...args].map((word) => (/^[\w./:=,@-]+$/.test(word) ? word : `'${word}'`)).join(' ');

export interface TypeOptions {
  readonly remark?: string;
  /** Which lines are shown; default what goes to stdout, and links, warnings and errors. What is hidden is still seen while it is the newest. */
  readonly show?: (line: string, from: 'stdout' | 'stderr') => boolean;
}

const worthSeeing = /^(see|warning:|error:|hint:) /;

/**
 * Types a command of Resurgo: shows it, runs the real program, shows what it says.
 * @throws DemoError when it fails
 */
export async function resurgo(stage: Stage, args: readonly string[], options: TypeOptions = {}): Promise<Ended> {
  const { remark, show = (line, from) => from === 'stdout' || worthSeeing.test(line) } = options;
  stage.screen.command(shown(args), remark);
  let latest = '';
  const result = await stage.screen.busy(
    () => latest || shown(args),
    () =>
      run(process.execPath, ['--disable-warning=ExperimentalWarning', bin, ...args], {
        env: stage.env,
        cwd: stage.dir,
        signal: stage.signal,
        onLine: (line, from) => {
          if (show(line, from)) stage.screen.output(stage.tidy(line), from === 'stderr');
          else latest = line;
        },
      }),
  );
  if (result.code === 0) return result;
  for (const line of result.stderr.split('\n')) if (!show(line, 'stderr')) stage.screen.output(stage.tidy(line), true);
  throw new DemoError(`\`${shown(args)}\` ended with exit code ${String(result.code)}`);
}

/** A command nobody sees, for its JSON. @throws DemoError when it fails */
export async function resurgoJson<T>(stage: Stage, args: readonly string[]): Promise<T> {
  const result = await run(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', bin, ...args, '--json', '--quiet'],
    stage.running,
  );
  if (result.code !== 0)
    throw new DemoError(`\`${shown(args)} --json\` ended with exit code ${result.code}: ${result.stderr.trim()}`);
  return JSON.parse(result.stdout) as T;
}
