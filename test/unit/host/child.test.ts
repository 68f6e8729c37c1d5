import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { runTool, startTool } from '../../../providers/host/child.ts';
import {
  identify,
  isAlive,
  processesWithEnvironment,
  processTree,
  sweepProcesses,
} from '../../../providers/host/processes.ts';
import { describeCommand, parentDeathPrefix, redactSecrets } from '../../../providers/host/tool-command.ts';
import { checkout } from '../../support/index.ts';

const shell = (script: string, more: object = {}) => runTool({ command: 'sh', args: ['-c', script], ...more });

describe('runTool', () => {
  test('gives output, exit code and time; a bare environment in English', async () => {
    const result = await shell('echo out; echo err >&2; exit 3', { okExitCodes: [0, 3] });
    expect(result).toMatchObject({ stdout: 'out\n', stderr: 'err', exitCode: 3 });
    process.env['SECRET_OF_THE_WORKER'] = 'x';
    const { stdout } = await runTool({ command: 'env', args: [], env: { MORE: '1', HOME: undefined } });
    expect(stdout).toContain('LC_ALL=C\n');
    expect(stdout).toContain('MORE=1\n');
    expect(stdout).not.toMatch(/SECRET_OF_THE_WORKER|^HOME=/m);
  });

  test('input is written and closed; a program that does not read it is no error', async () => {
    expect((await runTool({ command: 'cat', args: [], input: 'abc' })).stdout).toBe('abc');
    await runTool({ command: 'true', args: [], input: Buffer.alloc(1_000_000) });
  });

  test('O4 failures name command, code and last words, without secrets', async () => {
    await expect(shell('echo "at postgres://me:s3cret@host/db password=hunter2" >&2; exit 2')).rejects.toMatchObject({
      code: 'toolFailed',
      message: expect.stringMatching(/ended with exit code 2/),
      details: { exitCode: 2, stderr: 'at postgres://me:***@host/db password=***' },
    });
    await expect(shell('kill -9 $$')).rejects.toMatchObject({
      code: 'toolFailed',
      message: expect.stringContaining('SIGKILL'),
    });
    expect(describeCommand('pg_dump', ['--dbname=postgres://u:pw@h/d', 'a b'])).toBe(
      'pg_dump --dbname=postgres://u:***@h/d "a b"',
    );
    expect(redactSecrets(`password='a b' PGPASSWORD=x&y token: z`)).toBe('password=*** PGPASSWORD=***&y token: ***');
    await expect(runTool({ command: 'no-such-program', args: [] })).rejects.toMatchObject({ code: 'toolMissing' });
    await expect(runTool({ command: '/etc/passwd', args: [] })).rejects.toMatchObject({
      code: 'toolMissing',
      message: expect.stringContaining('not an executable'),
    });
  });

  test('standard error is kept from both ends, standard output has a limit', async () => {
    const error = await shell('i=0; while [ $i -lt 2000 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 1', {
      stderrLimit: 100,
    }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ details: { stderr: expect.stringMatching(/^line 0\n(.|\n)*…(.|\n)*line 1999$/) } });
    await expect(runTool({ command: 'yes', args: [], stdoutLimit: 1000 })).rejects.toMatchObject({
      code: 'toolFailed',
      message: expect.stringContaining('1000 bytes'),
    });
  });

  test('the reader sets the pace, sees all bytes, and ends the program by failing', async () => {
    let bytes = 0;
    await runTool({
      command: 'head',
      args: ['-c', '3000000', '/dev/zero'],
      onStdout: async (chunk) => {
        bytes += chunk.length;
        await sleep(1);
      },
    });
    expect(bytes).toBe(3_000_000);
    await expect(
      runTool({ command: 'yes', args: [], onStdout: () => Promise.reject(new Error('full')) }),
    ).rejects.toThrow('full');
  });

  test('lines of standard error come as they are written', async () => {
    const lines: string[] = [];
    await shell('printf "a\\nb" >&2', {
      onStderrLine: (line: string) => {
        lines.push(line);
      },
    });
    expect(lines).toEqual(['a', 'b']);
  });

  test('cancel and time-out end the whole group, also what ignores SIGTERM or is stopped', async () => {
    for (const script of [
      'sleep 100 & sleep 100',
      'trap "" TERM; while :; do sleep 0.05; done',
      'kill -STOP $$; sleep 100',
    ]) {
      const marker = String(Math.random());
      const abort = new AbortController();
      const running = shell(script, { signal: abort.signal, graceMs: 200, env: { MARK: marker } });
      while ((await processesWithEnvironment('MARK', marker)).length === 0) await sleep(5);
      abort.abort();
      await expect(running).rejects.toMatchObject({ code: 'cancelled' });
      expect(await processesWithEnvironment('MARK', marker)).toEqual([]);
    }
    await expect(shell('sleep 100', { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'toolFailed',
      message: expect.stringContaining('50 ms'),
    });
    await expect(shell('true', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('a daemon that keeps the output open does not hold the caller', async () => {
    const { stdout } = await shell('sleep 30 & echo $!');
    process.kill(Number(stdout));
  });

  test('held and released', async () => {
    const tool = startTool({ command: 'sh', args: ['-c', 'while :; do echo x; done'] });
    tool.stdout.resume();
    tool.hold(true);
    const state = async () =>
      (await import('node:fs/promises'))
        .readFile(`/proc/${String(tool.pid)}/stat`, 'utf8')
        .then((text) => text.slice(text.lastIndexOf(')') + 2)[0]);
    while ((await state()) !== 'T') await sleep(5);
    tool.hold(false);
    while ((await state()) === 'T') await sleep(5);
    tool.stop(new Error('enough'));
    await expect(tool.done).rejects.toThrow('enough');
  });
});

describe('processes', () => {
  test('a child dies with the worker that started it', async (context) => {
    if (parentDeathPrefix().length === 0) return context.skip('no setpriv');
    const marker = String(Math.random());
    const program = `import { startTool } from ${JSON.stringify(`${checkout}/providers/host/child.ts`)}; startTool({ command: 'sleep', args: ['100'], env: { MARK: '${marker}' } }); console.log('started'); setInterval(() => {}, 1000);`;
    const worker = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(worker.stdout, 'data');
    while ((await processesWithEnvironment('MARK', marker)).length === 0) await sleep(5);
    worker.kill('SIGKILL');
    while ((await processesWithEnvironment('MARK', marker)).length > 0) await sleep(5);
  });

  test('leftovers are found by their marker and ended, also stopped ones; a later process with the pid is not taken for them', async () => {
    const marker = String(Math.random());
    const child = spawn('sh', ['-c', 'sleep 100 & wait'], {
      env: { ...process.env, MARK: marker },
      stdio: 'ignore',
      detached: true,
    });
    const gone = once(child, 'exit');
    while ((await processesWithEnvironment('MARK', marker)).length < 2) await sleep(5);
    const found = await processesWithEnvironment('MARK', marker);
    expect((await processTree(child.pid ?? 0)).length).toBe(2);
    expect(await isAlive({ pid: child.pid ?? 0, startTime: '1' })).toBe(false);
    expect(await sweepProcesses([{ pid: child.pid ?? 0, startTime: '1' }], 10)).toBe(0);
    child.kill('SIGSTOP');
    expect(await sweepProcesses(found)).toBe(2);
    await gone;
    expect(await identify(child.pid ?? 0)).toBeUndefined();
    expect(await processesWithEnvironment('MARK', marker)).toEqual([]);
  });
});
