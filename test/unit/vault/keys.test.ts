import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  formatHostKey,
  generateHostKey,
  hostPublic,
  parseHostKey,
  signWith,
} from '../../../providers/vault/host-key.ts';
import { parseIdentityFile, parseRecipient } from '../../../providers/vault/identity-file.ts';
import {
  generateAttemptKeys,
  unwrapKeys,
  unwrapMetadataKey,
  wrapKeys,
  wrapMetadataKey,
} from '../../../providers/vault/keys.ts';
import { debianTool } from '../../support/debian.ts';

const keys = generateAttemptKeys('abc123', 'att1');
let identity = '';
let recipient = '';
let scratch = '';
beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  scratch = mkdtempSync(join(tmpdir(), 'resurgo-keys-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

const plain = (value: typeof keys) => ({
  ...value,
  dataKey: Buffer.from(value.dataKey).toString('hex'),
  metadataKey: Buffer.from(value.metadataKey).toString('hex'),
});

describe('B9 wrapped keys', () => {
  test('open for each recipient, and for nobody else', async () => {
    const other = await generateX25519Identity();
    const file = await wrapKeys(keys, { recipients: [recipient, await identityToRecipient(other)] });
    expect(plain(await unwrapKeys(file, { identities: [identity] }))).toEqual(plain(keys));
    expect(plain(await unwrapKeys(file, { identities: [await generateX25519Identity(), other] }))).toEqual(plain(keys));
    await expect(unwrapKeys(file, { identities: [await generateX25519Identity()] })).rejects.toMatchObject({
      code: 'wrongKey',
    });
    await expect(unwrapKeys(file, {})).rejects.toMatchObject({ code: 'keyMissing' });
    await expect(unwrapKeys(file, { passphrase: 'x' })).rejects.toMatchObject({ code: 'keyMissing' });
  });

  test('open by passphrase', async () => {
    const file = await wrapKeys(keys, { passphrase: 'correct horse', scryptWorkFactor: 10 });
    expect(plain(await unwrapKeys(file, { passphrase: 'correct horse', identities: [identity] }))).toEqual(plain(keys));
    await expect(unwrapKeys(file, { passphrase: 'wrong horse' })).rejects.toMatchObject({ code: 'wrongKey' });
    await expect(unwrapKeys(file, { identities: [identity] })).rejects.toMatchObject({ code: 'keyMissing' });
  });

  test('refuse nobody, both kinds, an empty passphrase and a bad recipient', async () => {
    for (const audience of [
      {},
      { recipients: [recipient], passphrase: 'x' },
      { passphrase: '' },
      { recipients: ['age1nonsense'] },
    ])
      await expect(wrapKeys(keys, audience)).rejects.toMatchObject({ code: 'inputInvalid' });
  });

  test('a damaged file is damage, never a wrong key or a crash', async () => {
    const file = await wrapKeys(keys, { recipients: [recipient] });
    for (const bad of [
      new Uint8Array(),
      Buffer.from('hello'),
      file.slice(0, 40),
      file.slice(0, file.length - 5),
      flip(file, file.length - 3),
    ])
      await expect(unwrapKeys(bad, { identities: [identity] })).rejects.toMatchObject({ code: 'partCorrupt' });
  });

  test('the host file holds the metadata key only', async () => {
    const host = await generateHostKey();
    const file = await wrapMetadataKey(keys, hostPublic(host).recipient);
    expect((await unwrapMetadataKey(file, { identities: [host.identity] })).metadataKey).toEqual(
      Buffer.from(keys.metadataKey),
    );
    await expect(unwrapKeys(file, { identities: [host.identity] })).rejects.toMatchObject({ code: 'partCorrupt' });
  });

  test('the age tool opens our files and we open its files', async () => {
    const age = await debianTool('age');
    const [idFile, file] = [join(scratch, 'id.txt'), join(scratch, 'keys.age')];
    writeFileSync(idFile, `# created by hand\n${identity}\n`, { mode: 0o600 });
    writeFileSync(file, await wrapKeys(keys, { recipients: [recipient] }));
    const opened = execFileSync(age, ['-d', '-i', idFile, file], { encoding: 'utf8' });
    expect(JSON.parse(opened)).toEqual({
      backup: 'abc123',
      attempt: 'att1',
      dataKey: Buffer.from(keys.dataKey).toString('base64'),
      metadataKey: Buffer.from(keys.metadataKey).toString('base64'),
    });
    execFileSync(age, ['-r', recipient, '-o', join(scratch, 'theirs.age')], { input: opened });
    expect(
      plain(
        await unwrapKeys(readFileSync(join(scratch, 'theirs.age')), {
          identities: await parseIdentityFile(readFileSync(idFile, 'utf8')),
        }),
      ),
    ).toEqual(plain(keys));
  });
});

describe('B9 key files', () => {
  test('host key survives its file, and signs', async () => {
    const host = await generateHostKey();
    const again = await parseHostKey(formatHostKey(host));
    expect(hostPublic(again)).toEqual(hostPublic(host));
    expect(signWith(again, Buffer.from('x'))).toBe(signWith(host, Buffer.from('x')));
    expect(Buffer.from(host.publicKey, 'base64')).toHaveLength(32);
  });

  test('a damaged host key names what is wrong and shows no secret', async () => {
    const text = formatHostKey(await generateHostKey());
    for (const bad of [
      '',
      'hello',
      text.replace(/signing-key.*\n/, ''),
      text.replace(/metadata-identity = .*/, 'metadata-identity = AGE-SECRET-KEY-1QQ'),
      text.replace('ed25519:', 'rsa:'),
      text + text,
    ]) {
      const error: unknown = await parseHostKey(bad, 'host.key').catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 'configInvalid', message: expect.stringContaining('host.key') as string });
      for (const secret of text.match(/ed25519:\S+|AGE-SECRET-KEY-\S+/g) ?? [])
        expect(String(error)).not.toContain(secret);
    }
  });

  test('identity files: comments, several identities, Windows line ends', async () => {
    const second = await generateX25519Identity();
    expect(
      await parseIdentityFile(`# created: today\r\n# public key: x\r\n${identity}\r\n\r\n  ${second}  \r\n`),
    ).toEqual([identity, second]);
  });

  test.each([
    ['', 'holds no identity'],
    ['age1abc', 'line 1: this is a recipient'],
    ['# c\nAGE-PLUGIN-YUBIKEY-1QQ', 'line 2: identities of age plugins'],
    ['-----BEGIN OPENSSH PRIVATE KEY-----', 'SSH keys'],
    ['AGE-SECRET-KEY-1ABC', 'damaged age identity'],
    ['age-encryption.org/v1\n-> scrypt', 'itself encrypted'],
  ])('an identity file of %j is refused', async (text, why) => {
    await expect(parseIdentityFile(text)).rejects.toMatchObject({
      code: 'configInvalid',
      message: expect.stringContaining(why) as string,
    });
  });

  test('recipients', async () => {
    expect(parseRecipient(` ${recipient}\n`)).toBe(recipient);
    for (const bad of ['', 'ssh-ed25519 AAAA', 'age1', recipient.slice(0, -1), identity])
      expect(() => parseRecipient(bad)).toThrow(expect.objectContaining({ code: 'configInvalid' }) as Error);
    expect(() => parseRecipient(identity)).not.toThrow(new RegExp(identity));
  });
});

const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
