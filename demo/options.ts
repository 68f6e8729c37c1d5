import { parseArgs } from 'node:util';

export interface DemoOptions {
  /** Size of the database, MiB. */
  readonly size: number;
  /** Everything goes on running at the end. */
  readonly keep: boolean;
}

/** MiB. */
export const defaultSize = 320;

export const usage = `npm run demo -- [--size MIB] [--keep]

  --size MIB   size of the database, 100 to 20000, default ${String(defaultSize)}
  --keep       leave everything running at the end, and say how to look at it and how to stop it`;

/** @throws Error saying what is wrong with the arguments */
export function parseOptions(args: readonly string[]): DemoOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: { size: { type: 'string' }, keep: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) return 'help';
  const size = values.size === undefined ? defaultSize : Number(values.size);
  if (!Number.isInteger(size) || size < 100 || size > 20_000)
    throw new Error(`--size ${String(values.size)} is not a whole number from 100 to 20000`);
  return { size, keep: values.keep ?? false };
}
