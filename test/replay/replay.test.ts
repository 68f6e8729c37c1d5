import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { globSync } from 'node:fs';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workflowBundle } from '../../workers/bundle.ts';
import { tempDir } from '../support/index.ts';

const folder = new URL('./histories/', import.meta.url).pathname;
const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
const cache = tempDir('bundle');
let bundle: Awaited<ReturnType<typeof workflowBundle>>;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  bundle = await workflowBundle(cache.path);
});

afterAll(() => cache.stop());

test('there are histories to replay', () => {
  expect(names.length).toBeGreaterThan(5);
});

test.each(names)('O5 a run of a released version goes on with this code: %s', async (name) => {
  const history = historyFromJSON(JSON.parse(readFileSync(join(folder, name), 'utf8')));
  await Worker.runReplayHistory({ workflowBundle: bundle }, history, name);
});

test('a history that does not fit is found out', async () => {
  const name = names.find((each) => each.endsWith('backup-operation-full.json')) as string;
  const text = readFileSync(join(folder, name), 'utf8').replaceAll('"dumpBackup"', '"somethingElse"');
  await expect(Worker.runReplayHistory({ workflowBundle: bundle }, historyFromJSON(JSON.parse(text)), name)).rejects.toThrow();
});

test('one copy of protobufjs: several break replaying from JSON', () => {
  const root = join(createRequire(import.meta.url).resolve('protobufjs/package.json'), '..', '..');
  const versions = globSync('**/node_modules/protobufjs/package.json', { cwd: join(root, '..') }).map((path) => (JSON.parse(readFileSync(join(root, '..', path), 'utf8')) as { version: string }).version);
  expect(new Set(versions.filter((version) => version.startsWith('8.'))).size).toBeLessThanOrEqual(1);
});
