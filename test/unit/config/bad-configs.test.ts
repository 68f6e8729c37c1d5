import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import type { ConfigProblem } from '../../../config/yaml-source.ts';
import { isResurgoError } from '../../../domain/errors.ts';
import { badConfigs, variant } from './bad-configs.ts';

const parse = (text: string) => parseConfig(text, { shown: 'resurgo.yaml', dir: '/nowhere', env: {} });

function problemsOf(text: string): readonly ConfigProblem[] {
  try {
    parse(text);
  } catch (error) {
    if (!isResurgoError(error, 'configInvalid')) throw error;
    return error.details['problems'] as ConfigProblem[];
  }
  return [];
}

describe('O4 a wrong configuration is explained where it is wrong', () => {
  test('the base itself is right, and there are at least 60 cases', () => {
    expect(problemsOf(variant({}))).toEqual([]);
    expect(Object.keys(badConfigs).length).toBeGreaterThanOrEqual(60);
  });

  test.each(Object.entries(badConfigs))('O4 %s', (_, { lines, at, field, says }) => {
    const found = problemsOf(variant(lines)).map((p) => `${p.line}:${p.column} ${p.field}: ${p.message}`);
    expect(found).toContainEqual(expect.stringContaining(says));
    const line = found.find((text) => text.includes(says)) ?? '';
    expect(line).toMatch(new RegExp(`^${at} `));
    expect(line.slice(at.length + 1)).toMatch(new RegExp(`^${field.replaceAll(/[[\]."\\/]/g, '\\$&')}: `));
    expect(line).not.toContain('topsecret');
  });
});

test('O4 all problems are reported at once, in the order of the file, with remedies', () => {
  const text = variant({
    1: 'version: 3',
    3: '  recipients: [age1x]',
    5: '  local: { type: disk }',
    7: '  shop: { type: postgres, engine: both, wal: maybe }',
    8: 'policies: [{ targets: [shup], schedule: hourly, timezone: Mars }]\nreplication: []',
  });
  expect.assertions(3);
  try {
    parse(text);
  } catch (error) {
    const message = (error as Error).message.split('\n');
    expect(message[0]).toBe('resurgo.yaml has 10 problems:');
    expect(message.slice(1).map((line) => line.replace(/: .*$/, ''))).toEqual([
      'resurgo.yaml:1:10 version',
      'resurgo.yaml:3:16 encryption.recipients[0]',
      'resurgo.yaml:5:3 repositories.local.path',
      'resurgo.yaml:7:3 targets.shop',
      'resurgo.yaml:7:35 targets.shop.engine',
      'resurgo.yaml:7:46 targets.shop.wal',
      'resurgo.yaml:8:24 policies[0].targets[0]',
      'resurgo.yaml:8:41 policies[0].schedule',
      'resurgo.yaml:8:59 policies[0].timezone',
      'resurgo.yaml:9:1 replication',
    ]);
    expect(message.every((line) => /[.:?!]$/.test(line))).toBe(true);
  }
});

test('O4 anchors are fine, a bomb of them is refused', () => {
  const reused = variant({
    7: '  shop: &pg { type: postgres, engine: physical, connection: { env: A } }\n  again: { <<: *pg, connection: { env: B } }',
  });
  expect(parse(reused).targets['again']).toMatchObject({ connection: { env: 'B' } });
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'b c d e f g h i'.split(' ').map(
      (c, i) =>
        `${c}: &${c} [${Array(9)
          .fill(`*${'abcdefghi'[i] ?? ''}`)
          .join(',')}]`,
    ),
  ].join('\n');
  expect(problemsOf(bomb)[0]?.message).toContain('anchors and aliases expand to too much');
});

test('O4 nesting without end is an error, not a crash', () => {
  expect(problemsOf('['.repeat(100_000))[0]?.message).toContain('nested too deeply');
  expect(problemsOf(`a: ${'{ a: '.repeat(200)}1${' }'.repeat(200)}`)[0]?.message).toContain('nested too deeply');
  expect(problemsOf(`${'- '.repeat(5000)}x`)[0]?.message).toMatch(/nested too deeply|is not valid YAML/);
});

test('O4 an empty file says how to begin', () => {
  for (const text of ['', '\n\n', '# only words\n', '---\n', 'null'])
    expect(problemsOf(text)[0]?.message).toContain('resurgo init');
});

test('O4 no problem repeats a secret', () => {
  const text = variant({
    3: '  passphrase: topsecret',
    5: '  local: { type: s3, bucket: dr, accessKeyId: 7777777, secretAccessKey: 7777777, endpoint: "ftp://u:topsecret@h" }',
    7: '  shop: { type: postgres, engine: physical, connection: "mysql://u:topsecret@h", password: { value: topsecret } }',
  });
  const found = problemsOf(text);
  expect(JSON.stringify(problemsOf(variant({ 3: '  recipients: [AGE-SECRET-KEY-1QQQ]' })))).not.toContain('1QQQ');
  expect(found.length).toBeGreaterThanOrEqual(5);
  expect(JSON.stringify(found)).not.toMatch(/topsecret|7777777/);
  expect(JSON.stringify(problemsOf('a: "topsecret\nb: [topsecret'))).not.toContain('topsecret');
});
