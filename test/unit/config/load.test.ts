import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { inspect } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../config/load.ts';
import type { PostgresTargetConfig } from '../../../config/schema.ts';
import { checkHookProgram, readPrivateFile } from '../../../config/safe-file.ts';
import { type LiteralSecret, redactUrl, resolveSecret } from '../../../config/secret.ts';
import { resolveRepository } from '../../../config/resolve.ts';
import { snapshotOf } from '../../../config/redact.ts';
import { tempDir } from '../../support/index.ts';
import { base, variant } from './bad-configs.ts';

let dir: string;
const fileOf = (name: string): string => path.join(dir, name);
function write(text: string | Uint8Array, mode = 0o644, name = 'resurgo.yaml'): string {
  const file = fileOf(name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

beforeEach(() => {
  const temp = tempDir('config');
  dir = temp.path;
  return () => temp.stop();
});

describe('O4 loading', () => {
  test('O4 paths are made absolute from the file, durations and sizes become numbers, defaults are filled in', () => {
    const file = write(
      variant({
        4: '  identity: ./resurgo.key\nrepositories:',
        5: '  local: { type: disk, path: backups, maxRate: 10MiB/s }',
        7: '  shop: { type: postgres, engine: physical, connection: { file: url }, toolsDir: bin, dataDir: /data, service: { stop: [a, b] }, standbys: [{ name: b, connection: { env: B } }] }',
        8: 'objectives: { rto: 90m, rpo: 1d }',
      }),
    );
    const { config, stateDir, path: at, dir: from } = loadConfig(file);
    expect(at).toBe(file);
    expect(from).toBe(dir);
    expect(stateDir).toBe(fileOf('.resurgo'));
    expect(config.encryption).toMatchObject({
      identity: { file: fileOf('resurgo.key') },
      hostKey: { file: fileOf('resurgo-host.key') },
    });
    expect(config.repositories['local']).toEqual({ type: 'disk', path: fileOf('backups'), maxRate: 10 * 1024 ** 2 });
    expect(config.targets['shop']).toMatchObject({
      connection: { file: fileOf('url') },
      toolsDir: fileOf('bin'),
      dataDir: '/data',
      compression: 'zstd',
      compressionLevel: 1,
      verify: 'authenticated',
      checkpoint: 'fast',
      service: { stop: ['a', 'b'], timeout: 120_000 },
      standbys: [{ name: 'b', connection: { env: 'B' } }],
    });
    expect(config.objectives).toMatchObject({ rto: 90 * 60_000, rpo: 86_400_000 });
  });

  test('O4 any scalar may come from the environment or a file; the message names the source and not the value', () => {
    write('incremental\n', 0o600, 'kind');
    const file = write(
      variant({
        5: '  local: { type: disk, path: { env: WHERE }, maxRate: { env: RATE } }',
        8: 'policies: [{ targets: [{ env: WHO }], kind: { file: kind } }]',
      }),
    );
    const { config } = loadConfig(file, { env: { WHERE: 'there', RATE: '1MiB', WHO: 'shop' } });
    expect(config.repositories['local']).toMatchObject({ path: fileOf('there'), maxRate: 1024 ** 2 });
    expect(config.policies?.[0]).toMatchObject({ targets: ['shop'], kind: 'incremental' });
    expect(() => loadConfig(file, { env: { WHERE: 'there', RATE: 'topsecret', WHO: 'shop' } })).toThrow(
      /resurgo\.yaml:5:\d+ repositories\.local\.maxRate: \(from environment variable RATE\) is not a size/,
    );
    expect(() => loadConfig(file, { env: { WHERE: 'there', RATE: 'topsecret', WHO: 'shop' } })).not.toThrow(
      /topsecret/,
    );
    expect(() => loadConfig(file, { env: { RATE: '1MiB', WHO: 'shop' } })).toThrow(
      /repositories\.local\.path: .*WHERE is not set/,
    );
  });

  test('O4 the hash says whether two configurations mean the same, wherever they lie and however they are written', () => {
    const first = loadConfig(write(variant({})));
    mkdirSync(fileOf('else'));
    const second = loadConfig(
      write(
        `# a remark\n${variant({}).replace('{ type: disk, path: /backups }', '\n    path: "/backups"\n    type: disk')}`,
        0o600,
        'else/other.yaml',
      ),
    );
    expect(second.hash).toBe(first.hash);
    expect(loadConfig(write(variant({ 8: 'objectives: { rto: 5h }' }))).hash).not.toBe(first.hash);
  });

  test.each([
    ['no file', () => fileOf('nothing.yaml'), 'configInvalid', /There is no configuration file .*nothing\.yaml/],
    ['a directory', () => dir, 'configInvalid', /is a directory/],
    ['UTF-16', () => write(Buffer.from(`\ufeff${variant({})}`, 'utf16le')), 'configInvalid', /is UTF-16/],
    [
      'Latin-1',
      () => write(Buffer.from(`${base[0]}\n# Gr\xfc\xdfe\n`, 'latin1')),
      'configInvalid',
      /is not UTF-8 \(line 2\)/,
    ],
    ['a NUL byte', () => write(`${base[0]}\n\n\0`), 'configInvalid', /NUL byte at line 3/],
    ['too large', () => write(`#${'x'.repeat(1024 * 1024)}\n`), 'configInvalid', /at most 524288/],
    ['mode 0666', () => write(variant({}), 0o666), 'configUnsafe', /mode 0666, so others may change it/],
    ['mode 0664, shared group', () => write(variant({}), 0o664), 'configUnsafe', /mode 0664/],
    [
      'an open directory',
      () => {
        chmodSync(dir, 0o777);
        return write(variant({}));
      },
      'configUnsafe',
      /others may replace files in it/,
    ],
  ] as const)('O4 refused: %s', (name, make, code, message) => {
    // A group of one's own (gid = uid, as useradd makes them) is not others.
    if (name === 'mode 0664, shared group' && process.getuid?.() !== 0) return;
    const file = make();
    expect(() => loadConfig(file)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
  });

  test('O4 a FIFO does not block', () => {
    execFileSync('mkfifo', ['-m', '600', fileOf('fifo')]);
    expect(() => loadConfig(fileOf('fifo'))).toThrow(/is not a regular file/);
    expect(() => readPrivateFile(fileOf('fifo'), 'Key')).toThrow(/is not a regular file/);
  });

  test('O4 a byte order mark is no problem, and lines are counted right behind it', () => {
    expect(loadConfig(write(`\ufeff${variant({})}`)).config.version).toBe(1);
    expect(() => loadConfig(write(`\ufeff${variant({ 1: 'version: 2' })}`))).toThrow(/resurgo\.yaml:1:10 version/);
  });

  test('O4 CRLF line ends', () => {
    expect(() => loadConfig(write(variant({ 5: '  local: { type: ftp }' }).replaceAll('\n', '\r\n')))).toThrow(
      /resurgo\.yaml:5:18 /,
    );
  });
});

describe('O4 secrets', () => {
  test('B9 a key file may lie where containers put secrets', () => {
    const file = write(variant({ 4: '  identity: /run/secrets/resurgo.key\nrepositories:' }));
    expect(loadConfig(file).config.encryption.identity).toEqual({ file: '/run/secrets/resurgo.key' });
  });

  test('O4 resolved when used; one line break at the end of a file goes, nothing else', () => {
    expect(resolveSecret({ file: write(' pass word \n', 0o600, 'a') })).toBe(' pass word ');
    expect(resolveSecret({ file: write('x\r\n', 0o600, 'b') })).toBe('x');
    expect(resolveSecret({ file: write('x\n\n', 0o600, 'c') })).toBe('x\n');
    expect(resolveSecret({ env: 'A' }, 'x', { A: 'b' })).toBe('b');
    symlinkSync(fileOf('a'), fileOf('link'));
    expect(resolveSecret({ file: fileOf('link') })).toBe(' pass word ');
  });

  test.each([
    [
      'unset',
      () => ({ env: 'NOPE' }),
      'configInvalid',
      /targets\.shop\.password: environment variable NOPE is not set/,
    ],
    ['empty variable', () => ({ env: 'EMPTY' }), 'configInvalid', /EMPTY is empty/],
    ['empty file', () => ({ file: write('\n', 0o600, 'e') }), 'configInvalid', /e is empty/],
    ['missing file', () => ({ file: fileOf('gone') }), 'configInvalid', /gone does not exist/],
    ['read by all', () => ({ file: write('x', 0o644, 'o') }), 'configUnsafe', /has mode 0644, so others may read it/],
    ['read by a group', () => ({ file: write('x', 0o640, 'g') }), 'configUnsafe', /has mode 0640/],
    ['a huge file', () => ({ file: write('x'.repeat(100_000), 0o600, 'h') }), 'configInvalid', /100000 bytes/],
    ['not text', () => ({ file: write(Buffer.from([0xc3, 0x28]), 0o600, 'n') }), 'configInvalid', /is not UTF-8/],
  ] as const)('O4 refused: %s', (_, make, code, message) => {
    const secret = make();
    expect(() => resolveSecret(secret, 'targets.shop.password', { EMPTY: '' })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  test('O4 a secret in the configuration shows nowhere', () => {
    const loaded = loadConfig(
      write(
        variant({
          5: '  local: { type: s3, bucket: dr-b, accessKeyId: topsecret1, secretAccessKey: topsecret2 }',
          7: '  shop: { type: postgres, engine: physical, connection: "postgres://u:topsecret3@h:1/d", password: topsecret4, standbys: [{ name: b, connection: "postgres://u:topse@cret5@h/d?password=topsecret6" }] }',
        }),
      ),
    );
    const shop = loaded.config.targets['shop'] as PostgresTargetConfig;
    const literal = shop.password as LiteralSecret;
    expect(literal.reveal()).toBe('topsecret4');
    expect(resolveRepository(loaded, 'local')).toMatchObject({
      accessKeyId: 'topsecret1',
      secretAccessKey: 'topsecret2',
    });
    for (const shown of [
      JSON.stringify(loaded),
      inspect(loaded, { depth: 20 }),
      literal.toString(),
      JSON.stringify(snapshotOf(loaded, 'shop')),
    ]) {
      expect(shown).not.toMatch(/topse/);
    }
    expect(JSON.stringify(loaded.config)).toContain('postgres://u@h:1/d');
  });

  test.each([
    ['postgres://u:p@h/d', 'postgres://u@h/d'],
    ['postgres://u:p@w/#?@h:5432/d', 'postgres://u@h:5432/d'],
    [
      'postgres://u@h/d?sslmode=require&password=x&application_name=y',
      'postgres://u@h/d?sslmode=require&password=[redacted]&application_name=y',
    ],
    ['postgres:///d?host=/run', 'postgres:///d?host=/run'],
    ['anything', '[redacted]'],
  ])('O4 %s is shown as %s', (url, shown) => expect(redactUrl(url)).toBe(shown));

  test('O4 programs of hooks that others may change are refused', () => {
    const script = write('#!/bin/sh\n', 0o755, 'hook');
    const check = () => checkHookProgram(script, 'service.stop', process.getuid?.() ?? 0);
    expect(check).not.toThrow();
    chmodSync(script, 0o757);
    expect(check).toThrow(expect.objectContaining({ code: 'configUnsafe' }));
    chmodSync(script, 0o644);
    expect(check).toThrow(/is not a program/);
    expect(() => checkHookProgram(fileOf('none'), 'service.stop', 0)).toThrow(/does not exist/);
  });
});
