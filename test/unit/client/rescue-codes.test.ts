/** O1 O6: rescue commands end with the codes of docs/reference/exit-codes.md when they are given what cannot be. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../../support/run-cli.ts';
import { tempDir, type TempDir } from '../../support/temp.ts';

let work: TempDir;
beforeAll(() => {
  work = tempDir('codes');
  mkdirSync(join(work.path, 'empty'));
});
afterAll(() => work.stop());

test.each<[number, string, string[]]>([
  [3, 'repositoryMissing', ['list', '--repository', '/nowhere/at/all']],
  [3, 'repositoryMissing', ['list', '--repository', './empty']],
  [3, 'repositoryMissing', ['restore', '--repository', '/nowhere/at/all', '--identity', 'resurgo.key', '--to', 'there']],
  [2, 'inputInvalid', ['list', '--repository', 'ftp://somewhere/else']],
  [2, 'usage', ['restore', '--repository', './empty', '--to', 'there']],
  [2, 'usage', ['restore', 'shop']],
  [2, 'configInvalid', ['restore', 'shop', '--to', 'there']],
  [2, 'configInvalid', ['failover', 'shop']],
  [2, 'configInvalid', ['plan', 'run', 'p']],
])('%i (%s): rescue %j', async (exitCode, code, args) => {
  const run = await runCli(['rescue', ...args, '--json'], { cwd: work.path });
  expect([run.exitCode, (run.json() as { error?: { code?: string } }).error?.code], run.stderr).toEqual([exitCode, code]);
  // Nothing was touched.
  expect(existsSync('/nowhere')).toBe(false);
  expect(existsSync(join(work.path, 'there'))).toBe(false);
  expect(existsSync(join(work.path, 'empty', 'repository.json'))).toBe(false);
});
