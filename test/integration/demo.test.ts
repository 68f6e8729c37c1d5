import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkout, tempDir, toolsEnv } from '../support/index.ts';

interface Played {
  readonly code: number | null;
  readonly output: string;
  readonly left: string[];
}

/** Plays the demo in a temp directory of its own, so that what it leaves is seen. */
async function play(args: readonly string[], onOutput: (text: string, kill: () => void) => void = () => undefined) {
  const temp = tempDir('demo');
  const child = spawn(
    toolsEnv().node,
    ['--disable-warning=ExperimentalWarning', join(checkout, 'demo/main.ts'), ...args],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMPDIR: temp.path },
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      onOutput(output, () => child.kill('SIGINT'));
    });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const left = readdirSync(temp.path);
  await temp.stop();
  return { code, output, left } satisfies Played;
}

test(
  'the demo backs up, is killed, restores, proves, fails over and leaves nothing (B1 B2 B8 B10 R2 O5 I1 I2 P3 P4 A3)',
  { timeout: 600_000 },
  async () => {
    const { code, output, left } = await play(['--size', '100']);
    expect(code, output).toBe(0);
    expect(output).toMatch(/dump +scheduled 1 time, ended in attempt 1/);
    expect(output).toMatch(/upload +scheduled 1 time, ended in attempt [2-9]/);
    expect(output).toMatch(/arrived twice: 0/);
    expect(output).not.toMatch(/DIFFERENT/);
    expect(output.match(/ same$/gm)).toHaveLength(7);
    expect(output).toMatch(/full backup: encrypted, read back .*MiB\/s/);
    expect(output).toMatch(/an incident is open/);
    expect(output).toMatch(/the worker, half-way/);
    expect(output).toMatch(/✓ fail-over \(postgres\.failover\): failover completed/);
    expect(output).toMatch(/✓ dns \(dns\.switch\)|moving DNS is left out/);
    expect(output).toMatch(/a streams from b on timeline 2/);
    expect(output).toMatch(/the incident is resolved/);
    expect(output).toMatch(/Detect: \d.*\n +Decide: .*\n +Act: .*\n +Verify: /);
    for (const line of output.split('\n')) expect(line.length, line).toBeLessThanOrEqual(110);
    expect(left).toEqual([]);
  },
);

test('an interrupted demo ends with 130 and leaves nothing', { timeout: 300_000 }, async () => {
  let killed = false;
  const { code, output, left } = await play(['--size', '100'], (text, kill) => {
    if (!killed && text.includes('$ resurgo backup shop')) {
      killed = true;
      kill();
    }
  });
  expect(code, output).toBe(130);
  expect(output).toContain('Interrupted');
  expect(left).toEqual([]);
});

test('wrong arguments are said before anything is started', { timeout: 60_000 }, async () => {
  const { code, output, left } = await play(['--size', '3']);
  expect(code).toBe(2);
  expect(output).toContain('--size 3 is not a whole number from 100 to 20000');
  expect(left).toEqual([]);
});
