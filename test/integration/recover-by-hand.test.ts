import { execFileSync, spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiskStore } from '../../providers/repository/disk-store.ts';
import { keysOf } from '../../providers/repository/layout.ts';
import { closeCryptoPool } from '../../providers/vault/crypto-pool.ts';
import { sealTestBackup, tarOf, testBytes, testRef } from '../unit/vault/sealed-backup.ts';
import type { SealedTestBackup } from '../unit/vault/sealed-backup.ts';

const works = (program: string, ...args: string[]): boolean =>
  spawnSync(program, args, { stdio: 'ignore' }).status === 0;
/** The tools the page names; where one is missing the test cannot run, and says which. */
const missing = [
  ['age', '--version'],
  ['zstd', '--version'],
  ['jq', '--version'],
  ['xxd', '--version'],
  ['openssl', 'version'],
]
  .filter(([program = '', ...args]) => !works(program, ...args))
  .map(([program]) => program);
const hasPython = works('python3', '-c', 'import cryptography');

const page = readFileSync(new URL('../../docs/guides/recover-by-hand.md', import.meta.url), 'utf8');
const commands = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block]) => block ?? '');
const tools = new URL('../../docs/tools/', import.meta.url).pathname;

let scratch = '';
let identity = '';
let sealed: SealedTestBackup;
const content = new Map([
  ['PG_VERSION', Buffer.from('18\n')],
  ['base/1/1259', testBytes(70_000)],
  ['base/1/empty', Buffer.alloc(0)],
  ['tablespace_map', Buffer.from('16400 /mnt/space\n')],
]);
const tablespace = testBytes(9000, 'tablespace');
const backupManifest = testBytes(3000, 'manifest');

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'resurgo-by-hand-'));
  identity = await generateX25519Identity();
  writeFileSync(join(scratch, 'identity.txt'), `# created for a test\n${identity}\n`, { mode: 0o600 });
  const store = new DiskStore({ name: 'disk', path: join(scratch, 'repository') });
  const streams = [
    {
      name: 'base.tar',
      kind: 'tar' as const,
      bytes: tarOf([
        { path: 'base', type: 'directory' },
        { path: 'pg_tblspc', type: 'directory' },
        ...[...content].map(([path, bytes]) => ({ path, content: bytes })),
        { path: 'a-link', type: 'symlink', linkTarget: 'PG_VERSION' },
      ]),
    },
    {
      name: '16400.tar',
      kind: 'tar' as const,
      bytes: tarOf([{ path: 'PG_18_202506291/5/16401', content: tablespace }]),
    },
    { name: 'backup_manifest', kind: 'blob' as const, bytes: backupManifest },
  ];
  sealed = await sealTestBackup(store, streams, {
    recipients: [await identityToRecipient(identity)],
    partBytes: 8192,
    ref: testRef('0k3v9x2m7qwe'),
  });
  await store.close();
});
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await closeCryptoPool();
});

const run = (script: string, out: string, unseal: string, extra: Record<string, string> = {}) =>
  spawnSync('bash', ['--norc', '-e', '-o', 'pipefail', '-c', script], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'] ?? '',
      REPOSITORY: join(scratch, 'repository'),
      BACKUP: join(scratch, 'repository', keysOf(sealed.ref).prefix),
      IDENTITY: join(scratch, 'identity.txt'),
      HOST_PUBLIC_KEY: sealed.hostKey.publicKey,
      OUT: out,
      UNSEAL: unseal,
      ...extra,
    },
  });

describe.skipIf(missing.length > 0)(
  `B9 recovery by the words of docs/guides/recover-by-hand.md${missing.length > 0 ? ` (not installed: ${missing.join(', ')})` : ''}`,
  () => {
    test.each([
      ['node', `${process.execPath} ${tools}unseal.mjs`],
      ...(hasPython ? [['python3', `python3 ${tools}unseal.py`]] : []),
    ])('with %s', (name = '', unseal = '') => {
      const out = join(scratch, `out-${name}`);
      mkdirSync(out);
      expect(commands).toHaveLength(5);
      let output = '';
      for (const block of commands) {
        const result = run(block, out, unseal);
        expect(`${result.stderr}exit ${String(result.status)}`).toMatch(/^(\/\*stdin\*.*\n)*exit 0$/);
        output += result.stdout;
      }
      expect(output).toContain('SHA256SUMS: OK');
      expect(output).toContain('Signature Verified Successfully');
      expect(output).toContain('backup_manifest 3000 bytes');
      for (const [path, bytes] of content) expect(readFileSync(join(out, 'data', path)).equals(bytes)).toBe(true);
      expect(readFileSync(join(out, 'data/backup_manifest')).equals(backupManifest)).toBe(true);
      expect(readFileSync(join(out, 'tablespace-16400/PG_18_202506291/5/16401')).equals(tablespace)).toBe(true);
      expect(readlinkSync(join(out, 'data/a-link'))).toBe('PG_VERSION');
      expect(lstatSync(join(out, 'data/base/1/1259')).mode & 0o777).toBe(0o600);
      expect(lstatSync(join(out, 'data')).mode & 0o777).toBe(0o700);
    });

    test('damage stops it: the checks of the page, and both scripts', () => {
      const repository = join(scratch, 'repository');
      const damaged = join(scratch, 'damaged');
      execFileSync('cp', ['-a', repository, damaged]);
      const backup = join(damaged, keysOf(sealed.ref).prefix);
      const part = join(backup, 'parts', readdirSync(join(backup, 'parts')).sort()[1] ?? '');
      const bytes = readFileSync(part);
      bytes[9] = (bytes[9] ?? 0) ^ 1;
      writeFileSync(part, bytes);
      const out = join(scratch, 'out-damaged');
      mkdirSync(out);
      const [check = '', , keys = '', index = '', extract = ''] = commands;
      const node = `${process.execPath} ${tools}unseal.mjs`;
      expect(run(keys + index, out, node).status).toBe(0);
      expect(run(check, out, '', { BACKUP: backup }).status).not.toBe(0);
      for (const unseal of [node, ...(hasPython ? [`python3 ${tools}unseal.py`] : [])]) {
        rmSync(join(out, 'data'), { recursive: true, force: true });
        const result = run(extract, out, unseal, { BACKUP: backup });
        expect(result.status).not.toBe(0);
        expect(result.stderr).toContain('part 2 is damaged');
      }
    });

    test('a manifest altered or signed by another host does not verify', () => {
      const signature = commands[1] ?? '';
      const out = join(scratch, 'out-signature');
      mkdirSync(out);
      const backup = join(scratch, 'altered');
      mkdirSync(backup);
      writeFileSync(join(backup, 'manifest.json'), sealed.manifestBytes.toString().replace('"shop"', '"shoq"'));
      expect(run(signature, out, '', { BACKUP: backup }).status).not.toBe(0);
      expect(run(signature, out, '', { HOST_PUBLIC_KEY: Buffer.alloc(32, 7).toString('base64') }).status).not.toBe(0);
    });
  },
);
