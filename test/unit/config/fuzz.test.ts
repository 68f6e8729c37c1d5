import fc from 'fast-check';
import { stringify } from 'yaml';
import { expect, test } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import { isResurgoError } from '../../../domain/errors.ts';
import { base, badConfigs, variant } from './bad-configs.ts';

/** Either a configuration, or a configInvalid whose problems all have a place; anything else fails the test. */
function accepts(text: string): boolean {
  try {
    parseConfig(text, { shown: 'resurgo.yaml', dir: '/nowhere', env: {} });
    return true;
  } catch (error) {
    if (!isResurgoError(error, 'configInvalid')) throw error;
    const problems = error.details['problems'] as { line: number; column: number; message: string }[];
    expect(problems.length).toBeGreaterThan(0);
    const lines = text.split('\n').length;
    for (const { line, column, message } of problems) {
      expect(line).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(lines + 1);
      expect(column).toBeGreaterThanOrEqual(1);
      expect(message).not.toBe('');
    }
    return false;
  }
}

const runs = { numRuns: Number(process.env['FUZZ_RUNS'] ?? 400) };
const keys = [
  'version',
  'encryption',
  'recipients',
  'identity',
  'repositories',
  'targets',
  'type',
  'engine',
  'connection',
  'policies',
  'retention',
  'objectives',
  'env',
  'file',
  '__proto__',
  'constructor',
  'shop',
  'only',
  'members',
  'service',
];
const words = fc.oneof(
  fc.constantFrom('postgres', 'disk', 's3', 'physical', 'logical', '/x', '4h', '64MiB', '0 2 * * *', 'shop', ...keys),
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
);
const tree = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 5 },
    words,
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...keys) }, { weight: 1, arbitrary: fc.string() }),
      tie('node'),
      { maxKeys: 6 },
    ),
  ),
})).node;

test('O4 random text never ends in anything but configInvalid', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => void accepts(text)),
    runs,
  );
});

test('O4 random YAML of known and unknown keys never ends in anything but configInvalid', () => {
  fc.assert(
    fc.property(tree, (value) => void accepts(stringify(value))),
    runs,
  );
});

test('O4 a good configuration with one thing replaced never ends in anything but configInvalid', () => {
  const line = fc.integer({ min: 1, max: base.length });
  fc.assert(
    fc.property(
      line,
      fc.oneof(
        tree.map((value) => JSON.stringify(value)),
        fc.string(),
      ),
      (at, text) => void accepts(variant({ [at]: `${(base[at - 1] ?? '').split(':')[0] ?? ''}: ${text}` })),
    ),
    runs,
  );
});

test('O4 a configuration with bytes removed or changed never ends in anything but configInvalid', () => {
  const sources = [variant({}), ...Object.values(badConfigs).map(({ lines }) => variant(lines))];
  fc.assert(
    fc.property(
      fc.constantFrom(...sources),
      fc.nat(),
      fc.nat({ max: 20 }),
      fc.string({ maxLength: 5 }),
      (source, at, length, insert) => {
        const start = at % source.length;
        accepts(source.slice(0, start) + insert + source.slice(start + length));
      },
    ),
    runs,
  );
});
