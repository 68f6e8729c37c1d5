import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { parseConfig } from '../../../config/load.ts';
import { describeConfig } from '../../../config/describe.ts';
import { configTemplate } from '../../../client/commands/init-template.ts';
import { generatedDocs, staleDocs } from '../../../scripts/docs.ts';
import { checkout } from '../../support/index.ts';
import { recipient } from './bad-configs.ts';

test('O4 docs/reference is what the code says (else: node scripts/docs.ts)', async () => {
  expect(Object.keys(await staleDocs())).toEqual([]);
});

test('O4 every key is explained, and every link in the reference leads somewhere', async () => {
  for (const { keys } of describeConfig())
    for (const key of keys)
      if (!key.kind.startsWith('`')) expect(key, key.key).toMatchObject({ description: expect.stringMatching(/\S/) });
  for (const [file, text] of Object.entries(await generatedDocs())) {
    const anchors = new Set(
      [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
    for (const [, target = ''] of text.matchAll(/\]\(#([^)]*)\)/g))
      expect(anchors, `${file}#${target}`).toContain(target);
    for (const [, target = ''] of text.matchAll(/\]\(([\w-]+\.md)\)/g))
      expect(() => readFileSync(path.join(checkout, path.dirname(file), target))).not.toThrow();
  }
});

test('O4 the configuration that init writes is valid, with and without what it has in comments', () => {
  const options = { shown: 'resurgo.yaml', dir: '/', env: {} };
  const text = configTemplate(recipient);
  expect(Object.keys(parseConfig(text, options).targets)).toEqual(['main']);
  // Everything but the ways that exclude each other.
  const lines = text
    .split('\n')
    .map((line) =>
      /^\s*# (Instead of|passphrase)|passphrase:|trustedHosts/.test(line)
        ? ''
        : line.replace(/^(\s*)# (?=(\s*(- \{|[\w-]+:)))/, '$1'),
    );
  const full = parseConfig(lines.join('\n'), options);
  expect(Object.keys(full.repositories)).toEqual(['local', 'remote']);
  expect(full.targets['cluster']).toMatchObject({
    engine: 'physical',
    service: { timeout: 120_000 },
    backupFrom: 'prefer-standby',
  });
  expect(full.policies).toHaveLength(3);
});
