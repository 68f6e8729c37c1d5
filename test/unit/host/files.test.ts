import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { assertPrivateFile, ensurePrivateDir, writeFileAtomic } from '../../../providers/host/files.ts';
import { runHook } from '../../../providers/host/hooks.ts';
import { canPunchHoles, directorySize, ensureSpace, freeBytes, punchHole } from '../../../providers/host/space.ts';
import { type TempDir, tempDir } from '../../support/index.ts';

let dir: TempDir;
const at = (name: string) => join(dir.path, name);
beforeEach(() => {
  dir = tempDir('host');
});
afterEach(() => dir.stop());
const mode = (path: string) => statSync(path).mode & 0o7777;

describe('files', () => {
  test('B9 written as a whole, mode 0600, nothing beside it', async () => {
    await writeFileAtomic(at('a'), 'one');
    await writeFileAtomic(at('a'), Buffer.from('two'));
    expect([readFileSync(at('a'), 'utf8'), mode(at('a')), readdirSync(dir.path)]).toEqual(['two', 0o600, ['a']]);
    mkdirSync(at('d'));
    await expect(writeFileAtomic(at('d'), 'x')).rejects.toThrow();
    expect(readdirSync(dir.path)).toEqual(['a', 'd']);
  });

  test('B9 private directories', async () => {
    await ensurePrivateDir(at('x/y'));
    expect(mode(at('x/y'))).toBe(0o700);
    chmodSync(at('x/y'), 0o755);
    await ensurePrivateDir(at('x/y'));
    expect(mode(at('x/y'))).toBe(0o700);
    symlinkSync(at('x'), at('link'));
    await expect(ensurePrivateDir(at('link'))).rejects.toMatchObject({ code: 'configUnsafe' });
  });

  test('O4 what others may write, or read, is refused with the mode to set', async () => {
    writeFileSync(at('f'), '', { mode: 0o600 });
    await assertPrivateFile(at('f'), 'read');
    chmodSync(at('f'), 0o644);
    await assertPrivateFile(at('f'), 'write');
    await expect(assertPrivateFile(at('f'), 'read')).rejects.toMatchObject({
      code: 'configUnsafe',
      details: { hint: expect.stringContaining('chmod 0600') },
    });
    chmodSync(at('f'), 0o664);
    await expect(assertPrivateFile(at('f'), 'write')).rejects.toMatchObject({
      code: 'configUnsafe',
      details: { hint: expect.stringContaining('chmod 0644') },
    });
    chmodSync(at('f'), 0o600);
    chmodSync(dir.path, 0o777);
    await expect(assertPrivateFile(at('f'), 'write')).rejects.toMatchObject({
      code: 'configUnsafe',
      message: expect.stringContaining('replace f'),
    });
    chmodSync(dir.path, 0o1777);
    await assertPrivateFile(at('f'), 'write');
    await expect(assertPrivateFile(at('none'), 'write')).rejects.toMatchObject({ code: 'configInvalid' });
  });
});

describe('hooks', () => {
  test('R1 output, failure, time-out; never a shell', async () => {
    expect((await runHook({ name: 'stop', command: ['echo', '$HOME; rm -rf /', 'x'], timeoutMs: 5000 })).output).toBe(
      '$HOME; rm -rf / x',
    );
    await expect(
      runHook({ name: 'start', command: ['sh', '-c', 'echo no >&2; exit 4'], timeoutMs: 5000 }),
    ).rejects.toMatchObject({ code: 'hookFailed', message: expect.stringMatching(/"start".*exit code 4.*no/s) });
    await expect(runHook({ name: 'health', command: ['sleep', '9'], timeoutMs: 30 })).rejects.toMatchObject({
      code: 'hookFailed',
    });
    await expect(runHook({ name: 'stop', command: ['no-such-program'], timeoutMs: 30 })).rejects.toMatchObject({
      code: 'toolMissing',
    });
    await expect(runHook({ name: 'stop', command: [], timeoutMs: 30 })).rejects.toMatchObject({
      code: 'configInvalid',
    });
    writeFileSync(at('hook'), '#!/bin/sh\necho ran > ran\n', { mode: 0o755 });
    chmodSync(at('hook'), 0o777);
    symlinkSync(at('hook'), at('link'));
    await expect(
      runHook({ name: 'stop', command: [at('link')], timeoutMs: 5000, cwd: dir.path }),
    ).rejects.toMatchObject({ code: 'configUnsafe' });
    expect(existsSync(at('ran'))).toBe(false);
  });
});

describe('space', () => {
  test('free bytes, also of what does not exist yet; refusal in numbers', async () => {
    expect(await freeBytes(at('not/yet'))).toBeGreaterThan(0);
    await expect(ensureSpace(dir.path, 2 ** 60, 'The dump')).rejects.toMatchObject({
      code: 'destinationSpace',
      message: expect.stringMatching(/The dump needs about \d+ MiB at .* where \d+ MiB are free/),
    });
  });

  test('size on disk: holes count nothing', async () => {
    mkdirSync(at('d'));
    writeFileSync(at('d/f'), Buffer.alloc(1_000_000, 1));
    writeFileSync(at('sparse'), '');
    truncateSync(at('sparse'), 10_000_000);
    const size = await directorySize(dir.path);
    expect(size).toBeGreaterThanOrEqual(1_000_000);
    expect(size).toBeLessThan(1_200_000);
    expect(await directorySize(at('none'))).toBe(0);
    if (await canPunchHoles(dir.path)) {
      await punchHole(at('d/f'), 0, 524_288);
      expect(await directorySize(dir.path)).toBeLessThan(size);
      expect(statSync(at('d/f')).size).toBe(1_000_000);
    }
    expect(readdirSync(dir.path).sort()).toEqual(['d', 'sparse']);
  });
});
