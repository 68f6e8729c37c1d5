import { parseArgs } from 'node:util';
import type { BenchOptions } from './types.ts';

export const usage = `npm run bench -- [--only NAME]… [--rounds N] [--size MB] [--json]
  --only NAME   only this measure; may be given several times
  --rounds N    rounds per measure, every contestant once in each (default 3)
  --size MB     size of the database (default 1536)
  --json        one JSON document on stdout`;

/** A line that is not understood. */
export class UsageError extends Error {}

/** @throws UsageError */
export function parseOptions(argv: readonly string[], names: readonly string[]): BenchOptions | 'help' {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        only: { type: 'string', multiple: true, default: [] },
        rounds: { type: 'string', default: '3' },
        size: { type: 'string', default: '1536' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return 'help';
  const unknown = values.only.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new UsageError(`there is no measure "${unknown}"; there are: ${names.join(', ')}`);
  return {
    only: values.only,
    rounds: wholeNumber('--rounds', values.rounds, 1, 100),
    size: wholeNumber('--size', values.size, 10, 1_000_000),
    json: values.json,
  };
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max)
    throw new UsageError(`${option} ${text} is not a whole number from ${String(min)} to ${String(max)}`);
  return value;
}
