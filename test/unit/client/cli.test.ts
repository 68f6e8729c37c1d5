import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Option } from 'commander';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../config/load.ts';
import type { CliContext } from '../../../client/cli-context.ts';
import { completeLine, completionScript } from '../../../client/completion.ts';
import { createProgram } from '../../../client/program.ts';
import { checkout, tempDir } from '../../support/index.ts';
import { runCli } from '../../support/run-cli.ts';

let cwd: string;
const run = (...args: string[]) => runCli(args, { cwd });

beforeEach(() => {
  const temp = tempDir('cli');
  cwd = temp.path;
  return () => temp.stop();
});

interface ErrorDocument {
  readonly schemaVersion: number;
  readonly error: {
    readonly code: string;
    readonly kind: string;
    readonly message: string;
    readonly hint: string;
    readonly problems?: unknown[];
  };
}

describe('O1 the command line itself', () => {
  test('O1 help and version', async () => {
    const [help, version, one] = await Promise.all([run('--help'), run('--version'), run('help', 'init')]);
    expect(help).toMatchObject({ exitCode: 0, stderr: '' });
    expect(help.stdout).toMatch(/^Usage: resurgo/);
    expect(help.stdout).not.toContain('complete-line');
    expect(version).toMatchObject({
      exitCode: 0,
      stdout: `${(JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }).version}\n`,
    });
    expect(one.stdout).toContain('Usage: resurgo init');
  });

  test.each([
    [['bakcup'], /unknown command 'bakcup'.*backup/],
    [['init', '--frce-free'], /unknown option '--frce-free'.*--force-free/],
    [['init', 'extra'], /too many arguments/],
    [['completion'], /missing required argument/],
    [['completion', 'csh'], /Allowed choices are bash, zsh, fish/],
    [['--config'], /argument missing/],
    [[], /A command is missing/],
  ])('O1 bad usage %j ends with 2, as JSON on stdout and in words on stderr', async (args, message) => {
    const { exitCode, stderr, json } = await run('--json', ...args);
    expect(exitCode).toBe(2);
    expect(json() as ErrorDocument).toMatchObject({
      schemaVersion: 1,
      error: {
        code: 'usage',
        kind: 'invalid',
        message: expect.stringMatching(message),
        hint: expect.stringContaining('resurgo help'),
      },
    });
    expect(stderr).toMatch(new RegExp(`error: .*${message.source}.*\nhint: `));
  });

  test('O1 with --json help and version are one JSON document too', async () => {
    const runs = await Promise.all([run('--json', 'help'), run('help', 'backup', '--json'), run('--json', '--version')]);
    for (const { exitCode, stderr } of runs) expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    const [help, one, version] = runs.map(({ json }) => json());
    expect(help).toMatchObject({ schemaVersion: 1, help: expect.stringContaining('Usage: resurgo') as string });
    expect(one).toMatchObject({ help: expect.stringContaining('--kind') as string });
    expect(version).toMatchObject({ version: expect.stringMatching(/^\d/) as string });
  });

  test('O4 a missing and a wrong configuration: exit code 2, every problem with its place', async () => {
    const missing = await run('check');
    expect(missing).toMatchObject({ exitCode: 2, stdout: '' });
    expect(missing.stderr).toContain('There is no configuration file resurgo.yaml.');
    writeFileSync(join(cwd, 'other.yaml'), 'version: 1\nencryption: {}\nrepositories: {}\ntargets: {}\n', {
      mode: 0o600,
    });
    const wrong = await run('check', '--json', '--config', 'other.yaml');
    expect(wrong.exitCode).toBe(2);
    expect((wrong.json() as ErrorDocument).error).toMatchObject({
      code: 'configInvalid',
      problems: [{ line: 2, column: 1, field: 'encryption' }, { line: 3 }, { line: 4 }],
    });
    expect(wrong.stderr).toContain('other.yaml:2:1 encryption: has neither recipients nor a passphrase');
  });

  test('O1 a reader that goes away is no error', async () => {
    const child = spawn(process.execPath, [join(checkout, 'bin/resurgo'), '--help'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
    const exitCode = await new Promise((resolve) => child.on('close', resolve));
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });

  test('O1 completion: commands, options, choices and target names', async () => {
    writeFileSync(join(cwd, 'half.yaml'), 'targets:\n  main: {}\n  more: [broken\n', { mode: 0o600 });
    writeFileSync(join(cwd, 'good.yaml'), 'version: 1\ntargets:\n  main: {}\n  more: {}\n', { mode: 0o600 });
    const { program, context } = inProcess();
    program.command('try <target>').addOption(new Option('--kind <kind>').choices(['full', 'differential']));
    const complete = async (...words: string[]) => completeLine(program, words, context(join(cwd, 'good.yaml')));
    expect(await complete('che')).toEqual(['check']);
    expect(await complete('')).toEqual(expect.arrayContaining(['init', 'check', 'completion']));
    expect(await complete('')).not.toContain('complete-line');
    expect(await complete('check', '--')).toEqual(
      expect.arrayContaining(['--config', '--help', '--json', '--offline']),
    );
    expect(await complete('check', '--json', '--j')).toEqual([]);
    expect(await complete('completion', '')).toEqual(['bash', 'fish', 'zsh']);
    expect(await complete('--config', '')).toEqual([]);
    expect(await complete('--config', 'x.yaml', 'comp')).toEqual(['completion']);
    expect(await complete('try', 'm')).toEqual(['main', 'more']);
    expect(await complete('try', 'main', '--kind', 'd')).toEqual(['differential']);
    expect(await complete('try', '--kind', 'full', 'mo')).toEqual(['more']);
    expect(await complete('try', '--config', join(cwd, 'none.yaml'), '')).toEqual([]);
    expect(await complete('try', '--config', join(cwd, 'half.yaml'), '')).toEqual([]);
  });

  test('O1 the completion script works in bash', async () => {
    const script = `${completionScript('bash')}\nresurgo() { "$NODE" "$CLI" "$@"; }\nCOMP_WORDS=(resurgo --json che); COMP_CWORD=2; _resurgo; echo "\${COMPREPLY[@]}"`;
    const shell = spawn('bash', ['--norc', '-c', script], {
      cwd,
      env: { ...process.env, NODE: process.execPath, CLI: join(checkout, 'bin/resurgo') },
    });
    let answer = '';
    shell.stdout.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
    await new Promise((resolve) => shell.on('close', resolve));
    expect(answer.trim()).toBe('check');
  });

  test('O1 help loads nothing heavy', async () => {
    const { stdout } = await runNode(`
      import { registerHooks } from 'node:module';
      const seen = [];
      registerHooks({ load: (url, context, next) => { seen.push(url); return next(url, context); } });
      const { main } = await import(${JSON.stringify(pathToFileURL(join(checkout, 'client/program.ts')).href)});
      await main(['--help']);
      console.log('LOADED ' + JSON.stringify(seen));`);
    const loaded = JSON.parse(/^LOADED (.*)$/m.exec(stdout)?.[1] ?? '[]') as string[];
    const packages = new Set(loaded.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []));
    expect([...packages]).toEqual(['commander']);
    expect(loaded.filter((url) => !url.includes('node_modules')).length).toBeLessThan(60);
  });
});

/** The program of this process, and a context for what completes in it. */
function inProcess() {
  const program = createProgram(
    () => undefined,
    () => {
      throw new Error('nothing is run here');
    },
  );
  const context = (configPath: string): CliContext => ({ configPath }) as CliContext;
  return { program, context };
}

async function runNode(code: string): Promise<{ stdout: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk));
  await new Promise((resolve) => child.on('close', resolve));
  return { stdout };
}

describe('O4 init', () => {
  const listing = () => readdirSync(cwd).sort();

  test('O4 B9 writes a valid configuration and keys only we can read, once', async () => {
    const first = await run('init');
    expect(first).toMatchObject({ exitCode: 0, stderr: '' });
    expect(first.stdout).toContain('Keep a copy of resurgo.key away from this host');
    expect(listing()).toEqual(['resurgo-host.key', 'resurgo.key', 'resurgo.yaml']);
    for (const file of ['resurgo.key', 'resurgo-host.key']) expect(statSync(join(cwd, file)).mode & 0o777).toBe(0o600);
    const { config } = loadConfig(join(cwd, 'resurgo.yaml'));
    expect(readFileSync(join(cwd, 'resurgo.key'), 'utf8')).toContain(
      `# public key: ${config.encryption.recipients?.[0] ?? '?'}\n`,
    );

    const before = listing().map((file) => readFileSync(join(cwd, file), 'utf8'));
    const again = await run('init', '--json');
    expect(again.exitCode).toBe(3);
    expect((again.json() as ErrorDocument).error.code).toBe('destinationNotEmpty');
    expect(listing().map((file) => readFileSync(join(cwd, file), 'utf8'))).toEqual(before);
  });

  test('O4 any one file in the way stops it before anything is written, also a dangling link', async () => {
    symlinkSync('/nowhere/else', join(cwd, 'resurgo-host.key'));
    expect(await run('init')).toMatchObject({ exitCode: 3 });
    expect(listing()).toEqual(['resurgo-host.key']);
    expect(existsSync('/nowhere')).toBe(false);
  });

  test('B9 --force-free keeps the identity that is there and uses its recipient', async () => {
    expect((await run('init', '--json')).exitCode).toBe(0);
    const key = readFileSync(join(cwd, 'resurgo.key'), 'utf8');
    const recipient = /age1\w+/.exec(key)?.[0] ?? '';
    const second = join(cwd, 'second');
    const elsewhere = await run('init', '--config', 'second/conf.yaml', '--json');
    expect((elsewhere.json() as { written: string[] }).written).toEqual([
      join(second, 'resurgo.key'),
      join(second, 'resurgo-host.key'),
      join(second, 'conf.yaml'),
    ]);
    writeFileSync(join(second, 'resurgo.key'), key);
    const third = await run('init', '--config', 'second/third.yaml', '--force-free', '--json');
    expect(third.json() as { written: string[]; recipient: string }).toMatchObject({
      written: [join(second, 'third.yaml')],
      recipient,
    });
    expect(loadConfig(join(second, 'third.yaml')).config.encryption.recipients).toEqual([recipient]);
    chmodSync(join(second, 'resurgo.key'), 0o644);
    expect(
      ((await run('init', '--config', 'second/fourth.yaml', '--force-free', '--json')).json() as ErrorDocument).error
        .code,
    ).toBe('configUnsafe');
  });

  test('O4 a directory that may not be written is said, and nothing is left', async (context) => {
    // Root may write anywhere, unless it has given that up.
    const rights = '-dac_override,-dac_read_search';
    const less = [`--bounding-set=${rights}`, `--inh-caps=${rights}`];
    const isRoot = process.getuid?.() === 0;
    if (isRoot && spawnSync('setpriv', [...less, 'true']).status !== 0) return context.skip('root may not give up rights here');
    const via = isRoot ? ['setpriv', ...less] : [];
    chmodSync(cwd, 0o500);
    expect(await runCli(['init'], { cwd, via })).toMatchObject({ exitCode: 3 });
    chmodSync(cwd, 0o700);
    expect(listing()).toEqual([]);
  });
});
