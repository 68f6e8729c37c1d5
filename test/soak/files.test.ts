/** B4 at size: 100,000 small files, a sparse file of 10 GB with data at both ends, 1,000,000 entries in little memory. */
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { backupHere, configHere, depsOf, restoreHere } from '../support/in-process.ts';
import { describeTree } from '../support/tree.ts';
import { tempDir, type TempDir } from '../support/temp.ts';
import { toolsEnv } from '../support/tools-env.ts';
import { checkout } from '../support/index.ts';

let work: TempDir;
const at = (...names: string[]): string => join(work.path, ...names);

beforeEach(() => {
  work = tempDir('files-soak');
  mkdirSync(at('source'));
});
afterEach(async () => {
  await work.stop();
});

test('B4 100,000 small files: full, incremental after 0.1 % changed, restore', { timeout: 1_800_000 }, async () => {
  for (let i = 0; i < 100_000; i++) {
    if (i % 100 === 0) mkdirSync(at('source', `d${String(i / 100)}`));
    writeFileSync(at('source', `d${String(Math.floor(i / 100))}`, `f${String(i)}`), `${String(i)} `.repeat(300));
  }
  const deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [at('source')] } }));
  const timed = async (kind: 'full' | 'incremental') => {
    const since = performance.now();
    const done = await backupHere(deps, { target: 'media', kind });
    return { ms: performance.now() - since, done };
  };
  const full = await timed('full');
  for (let i = 0; i < 100_000; i += 1000) writeFileSync(at('source', `d${String(Math.floor(i / 100))}`, `f${String(i)}`), 'changed');
  const incremental = await timed('incremental');
  console.log(`full ${full.ms.toFixed(0)} ms, incremental ${incremental.ms.toFixed(0)} ms, ratio ${(incremental.ms / full.ms).toFixed(3)}`);
  expect(incremental.done.bytes.source).toBeLessThan(full.done.bytes.source / 50);
  expect(incremental.done.counts.files).toBe(100_000);
  await restoreHere(deps, { target: 'media', mode: 'beside', to: at('back') });
  expect(describeTree(join(at('back'), at('source')))).toBe(describeTree(at('source')));
  await deps.stores.close();
});

test('B4 a sparse file of 10 GB with data at both ends comes back sparse', { timeout: 600_000 }, async () => {
  const file = at('source', 'disk.img');
  writeFileSync(file, 'begin');
  truncateSync(file, 10 * 1024 ** 3);
  const fd = openSync(file, 'r+');
  writeSync(fd, 'end', 10 * 1024 ** 3 - 3);
  closeSync(fd);
  const deps = depsOf(await configHere(work.path, { media: { type: 'files', paths: [at('source')] } }));
  const since = performance.now();
  const done = await backupHere(deps, { target: 'media' });
  await restoreHere(deps, { target: 'media', mode: 'beside', to: at('back') });
  expect(performance.now() - since).toBeLessThan(60_000);
  expect(done.bytes.stored).toBeLessThan(1024 * 1024);
  expect(describeTree(join(at('back'), at('source')))).toBe(describeTree(at('source')));
  expect(Number(execFileSync('du', ['-k', join(at('back'), file)], { encoding: 'utf8' }).split('\t')[0])).toBeLessThan(1024);
  await deps.stores.close();
});

test('B4 1,000,000 entries: memory of the dump stays bounded', { timeout: 3_600_000 }, async () => {
  // Empty files, made by a shell, are the most entries for the least room.
  execFileSync('bash', ['-c', 'for d in $(seq 1 1000); do mkdir d$d; (cd d$d && touch $(seq 1 999)); done'], { cwd: at('source') });
  const script = `
    const { dumpFiles } = await import(${JSON.stringify(join(checkout, 'providers/files/dump.ts'))});
    const sink = { write: () => undefined, end: () => Promise.resolve() };
    const dump = await dumpFiles({ selection: { paths: [${JSON.stringify(at('source'))}], exclude: [], include: [], never: [] }, oneFileSystem: false, link: 0,
      staging: ${JSON.stringify(at('staging'))}, signal: new AbortController().signal, onProgress: () => {}, writer: { sourceBytes: 0, storedBytes: 0, openStream: () => sink } });
    console.log(JSON.stringify({ entries: dump.facts.entries, listing: dump.listing.length, peak: process.resourceUsage().maxRSS / 1024 }));`;
  const child = spawn(toolsEnv().node, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  for await (const chunk of child.stdout) out += String(chunk);
  const told = JSON.parse(out) as { entries: number; listing: number; peak: number };
  console.log(`${String(told.entries)} entries: list ${(told.listing / 1048576).toFixed(1)} MiB, peak ${told.peak.toFixed(0)} MiB`);
  expect(told.entries).toBe(1_000_001);
  expect(told.peak).toBeLessThan(400);
});
