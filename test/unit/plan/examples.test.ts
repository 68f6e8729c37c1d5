import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { actionsOf } from '../../../activities/actions/index.ts';
import { findProblems } from '../../../client/plan/problems.ts';
import { loadConfig } from '../../../config/load.ts';
import { createDeps } from '../../../workers/deps.ts';
import { checkout } from '../../support/index.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'examples-'));
afterAll(() => { rmSync(dir, { recursive: true, force: true }); });

test('I5 I6 I9 the ready plans are valid', async () => {
  process.env['PLAN_PASS'] = 'a long enough phrase';
  const head = ['version: 1', 'encryption: { passphrase: { env: PLAN_PASS } }', 'repositories: { local: { type: disk, path: ./repo } }', 'targets: { shop: { type: postgres, engine: logical, connection: "postgres://x@127.0.0.1/shop" } }'];
  const file = path.join(dir, 'resurgo.yaml');
  writeFileSync(file, `${head.join('\n')}\n${readFileSync(path.join(checkout, 'docs/examples/plans/strategies.yaml'), 'utf8')}`, { mode: 0o600 });
  const loaded = loadConfig(file);
  const found = findProblems(loaded, await actionsOf(createDeps(loaded, { host: 'here', searchAttributes: false })));
  expect(found.flatMap(({ problems }) => problems.map(({ line, message }) => `${String(line)}: ${message}`))).toEqual([]);
  expect(Object.keys(loaded.config.plans ?? {})).toHaveLength(10);
});
