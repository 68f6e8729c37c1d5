import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import type { Measure } from '../../bench/types.ts';
import { checkout } from '../support/index.ts';

function bench(...args: string[]): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(process.execPath, [join(checkout, 'bench', 'main.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

const ended = (child: ReturnType<typeof bench>): Promise<number | null> =>
  new Promise((resolve) => child.once('close', resolve));

/** Its temp directories carry its pid. */
const leftBy = (pid: number | undefined): string[] =>
  readdirSync('/tmp').filter((name) => name.startsWith(`resurgo-test-${String(pid)}-`));

test('O1 the bench runs, tells its results as JSON, and leaves nothing behind', { timeout: 600_000 }, async () => {
  const child = bench(
    '--size',
    '20',
    '--rounds',
    '1',
    '--only',
    'physical-incremental',
    '--only',
    'step-overhead-ms',
    '--json',
  );
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  expect(await ended(child), stderr).toBe(0);
  const report = JSON.parse(stdout) as { machine: object; measures: Measure[] };
  expect(report.machine).toMatchObject({ cores: expect.any(Number) as number });
  const [incremental, step] = report.measures;
  expect(incremental).toMatchObject({
    name: 'physical-incremental',
    unit: 's',
    bar: 0.25,
    peerName: 'own full backup',
  });
  expect(incremental?.ours).toHaveLength(1);
  expect(incremental?.ratio).toBeCloseTo((incremental?.ours[0] ?? 0) / (incremental?.peer[0] ?? 1), 2);
  expect(step).toMatchObject({ name: 'step-overhead-ms', unit: 'ms', ratio: null, bar: 60 });
  expect(leftBy(child.pid)).toEqual([]);
});

test('O1 Ctrl-C stops everything the bench started', { timeout: 400_000 }, async () => {
  const child = bench('--size', '20', '--rounds', '1', '--only', 'physical-incremental');
  const end = ended(child);
  // In the middle of making its things: the server runs, ours is on its way.
  await new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('starting resurgo up')) resolve();
    });
  });
  child.kill('SIGINT');
  expect(await end).toBe(130);
  expect(leftBy(child.pid)).toEqual([]);
  // Its processes are looked for by the leak check after each file: they carry our mark.
});
