import { expect, test } from 'vitest';
import { Output } from '../../../client/output.ts';
import { Progress } from '../../../client/progress.ts';
import type { ProgressState } from '../../../client/progress.ts';
import { RateMeter } from '../../../client/rate.ts';
import { cut, displayWidth, formatTable } from '../../../client/text.ts';

class Sink {
  text = '';
  readonly isTTY: boolean;
  readonly columns = 60;
  readonly rows = 8;
  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }
  write(text: string): void {
    this.text += text;
  }
}

const outputTo = (stderr: Sink, options: { json?: boolean; quiet?: boolean; env?: NodeJS.ProcessEnv } = {}) => {
  const stdout = new Sink(false);
  const output = new Output({
    json: options.json ?? false,
    quiet: options.quiet ?? false,
    stdout,
    stderr,
    env: options.env ?? {},
  });
  return { output, stdout };
};

/** What a terminal shows after these writes: cursor up, clear to the end of line or screen. */
function screen(text: string): string[] {
  const lines = [''];
  let row = 0;
  let column = 0;

  for (const [token] of text.matchAll(/\u001b\[(\d*)([AJKm])|\n|\r|[^\u001b\n\r]+/g)) {
    const escape = /^.\[(\d*)([AJKm])$/.exec(token);
    if (token === '\n') {
      row++;
      column = 0;
      lines[row] ??= '';
    } else if (token === '\r') column = 0;
    else if (escape?.[2] === 'A') row = Math.max(0, row - Number(escape[1] || 1));
    else if (escape?.[2] === 'J') {
      lines[row] = (lines[row] ?? '').slice(0, column);
      lines.length = row + 1;
    } else if (escape?.[2] === 'K') lines[row] = (lines[row] ?? '').slice(0, column);
    else if (escape === null) {
      lines[row] = (lines[row] ?? '').slice(0, column) + token + (lines[row] ?? '').slice(column + token.length);
      column += token.length;
    }
  }
  return lines.filter((line) => line !== '');
}

const state = (done: number, more: Partial<ProgressState['active'][number]> = {}): ProgressState => ({
  steps: [
    { name: 'prepare', state: 'completed', detail: 'full' },
    { name: 'dump', state: 'in progress' },
    { name: 'publish', state: 'pending' },
  ],
  active: [
    {
      activity: 'dump',
      attempt: 1,
      progress: { phase: 'reading', doneBytes: done, totalBytes: 100 * 1024 ** 2 },
      ...more,
    },
  ],
});

test('O1 on a terminal one display is redrawn, and text written meanwhile stays above it', () => {
  const stderr = new Sink(true);
  const { output } = outputTo(stderr);
  let now = 0;
  const progress = new Progress(output, { now: () => now });
  progress.update(state(0));
  now = 1000;
  progress.update(state(20 * 1024 ** 2));
  expect(screen(stderr.text)).toEqual([
    '✓ prepare  full',
    '▸ dump',
    '· publish',
    '    reading  20 %  20.0 MiB of 100 MiB  20.0 MiB/s  4.0 s …',
  ]);
  output.note('by the way');
  progress.update(state(30 * 1024 ** 2));
  expect(screen(stderr.text).slice(0, 2)).toEqual(['by the way', '✓ prepare  full']);
  progress.end();
  output.note('after');
  expect(screen(stderr.text)).toEqual(['by the way', '✓ prepare  full', '▸ dump', '· publish', 'after']);
});

test('O1 a display higher than the screen shows its end; no line is wider than the screen', () => {
  const stderr = new Sink(true);
  const progress = new Progress(outputTo(stderr).output);
  progress.update({
    steps: Array.from({ length: 30 }, (_, i) => ({
      name: `step ${i} ${'복구'.repeat(40)}\u001b[2J\n`,
      state: 'in progress' as const,
    })),
    active: [],
  });
  progress.end();
  const shown = screen(stderr.text);
  expect(shown.length).toBeLessThan(8);
  expect(shown.at(-1)).toContain('step 29');
  for (const line of shown) expect(displayWidth(line)).toBeLessThan(60);
});

test('O1 elsewhere plain lines: what changes, what fails, and how far it is at intervals', () => {
  const stderr = new Sink(false);
  const { output } = outputTo(stderr);
  let now = 0;
  const progress = new Progress(output, { now: () => now, lineIntervalMs: 10_000 });
  for (now = 0; now <= 20_000; now += 500) progress.update(state((now / 1000) * 1024 ** 2));
  progress.update(state(0, { attempt: 2, lastFailure: 'connection\nlost' }));
  progress.end();
  expect(stderr.text.split('\n')).toEqual([
    'prepare: done (full)',
    'dump: begins',
    'reading  10 %  10.0 MiB of 100 MiB  1.00 MiB/s  1m 30s left',
    'reading  20 %  20.0 MiB of 100 MiB  1.00 MiB/s  1m 20s left',
    'dump: attempt 2, after: connection lost',
    '',
  ]);

  expect(stderr.text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
});

test('O1 --quiet, dumb terminals, CI and NO_COLOR', () => {
  const quiet = new Sink(true);
  const progress = new Progress(outputTo(quiet, { quiet: true }).output);
  progress.update(state(1));
  progress.end();
  expect(quiet.text).toBe('');
  for (const env of [{ TERM: 'dumb' }, { CI: 'true' }])
    expect(outputTo(new Sink(true), { env }).output.live).toBe(false);
  const plain = new Sink(true);
  const { output } = outputTo(plain, { env: { NO_COLOR: '1' } });
  output.error('broken \u001b[31m', 'mend it');
  expect(plain.text).toBe('error: broken \ufffd[31m\nhint: mend it\n');
  const coloured = new Sink(true);
  outputTo(coloured).output.warn('x');
  expect(coloured.text).toBe('\u001b[33mwarning:\u001b[0m x\n');
});

test('O1 with --json stdout carries one document and nothing else', () => {
  const stderr = new Sink(false);
  const { output, stdout } = outputTo(stderr, { json: true });
  output.print('words');
  output.result({ a: 1 }, 'text');
  expect(JSON.parse(stdout.text)).toEqual({ schemaVersion: 1, a: 1 });
  expect(stderr.text).toBe('words\n');
  expect(() => output.result({ b: 2 }, '')).toThrow();
});

test('O1 the rate is that of the last seconds, and begins anew with another attempt', () => {
  const meter = new RateMeter(10_000);
  expect(meter.bytesPerSecond()).toBeUndefined();
  meter.add(0, 0);
  meter.add(1_000_000, 100);
  expect(meter.bytesPerSecond()).toBeUndefined();
  for (let t = 1; t <= 60; t++) meter.add(1_000_000 + t * 1000, t * 1000);
  expect(Math.round(meter.bytesPerSecond() ?? 0)).toBe(1000);
  expect(Math.round((meter.remainingMs(1_070_000) ?? 0) / 100)).toBe(100);
  meter.add(5, 61_000);
  expect(meter.bytesPerSecond()).toBeUndefined();
  expect(meter.remainingMs(undefined)).toBeUndefined();
});

test('O1 tables align wide and combining characters, and names cannot steer the terminal', () => {
  expect(displayWidth('a복é')).toBe(4);
  expect(cut('abcdef', 4)).toBe('abc…');
  expect(cut('복구복구', 4)).toBe('복…');
  expect(
    formatTable(
      [{ title: 'name' }, { title: 'bytes', right: true }],
      [
        ['복구', '1'],
        ['a\u001b[31mb\nc', '1000'],
      ],
    ).split('\n'),
  ).toEqual(['name       bytes', '복구           1', 'a\ufffd[31mb c   1000']);
});
