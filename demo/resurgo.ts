import { join } from 'node:path';
import { checkout } from '../test/support/index.ts';
import { DemoError, type Ended, run } from './children.ts';
import type { Stage } from './stage.ts';

const bin = join(checkout, 'bin', 'resurgo');

/** The words of a command line, for a shell. */
const shown = (args: readonly string[]): string =>
  ['resurgo', ...args].map((word) => (/^[\w./:=,@-]+$/.test(word) ? word : `'${word}'`)).join(' ');

/**
 * Types a command of Resurgo: shows it, runs the real program, shows what it says.
 * @throws DemoError when it fails
 */
export async function resurgo(
  stage: Stage,
  args: readonly string[],
  options: { readonly remark?: string; readonly onLine?: (line: string) => void } = {},
): Promise<Ended> {
  stage.screen.command(shown(args), options.remark);
  const result = await stage.screen.busy(
    () => shown(args),
    () =>
      run(process.execPath, ['--disable-warning=ExperimentalWarning', bin, ...args], {
        env: stage.env,
        cwd: stage.dir,
        signal: stage.signal,
        onLine: (line, from) => {
          stage.screen.output(line, from === 'stderr');
          options.onLine?.(line);
        },
      }),
  );
  if (result.code !== 0) throw new DemoError(`\`${shown(args)}\` ended with exit code ${result.code}`);
  return result;
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
