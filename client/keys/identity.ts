/** The identity file across a rotation: the new identity first, the old ones kept until nothing needs them. */
import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { open } from 'node:fs/promises';
import { generateX25519Identity } from 'age-encryption';
import type { LoadedConfig } from '../../config/load.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { parseIdentityFile, recipientOf } from '../../providers/vault/identity-file.ts';
import { replaceFile } from './config-recipients.ts';

/** @throws keyMissing when the identity is not in a file */
export function identityPath(loaded: LoadedConfig): string {
  const { identity, passphrase } = loaded.config.encryption;
  if (passphrase !== undefined) throw new ResurgoError('unsupported', 'this configuration encrypts with a passphrase; there is no identity to rotate', { details: { hint: 'Move to recipients and an identity: set both, with both keys at hand, and run `resurgo keys rewrap`.' } });
  if (identity === undefined || typeof identity === 'string' || !('file' in identity)) throw new ResurgoError('keyMissing', 'encryption.identity is no file on this host, so it is not rotated here', { details: { hint: 'Run this where the identity file is.' } });
  return realpathSync(path.resolve(loaded.dir, identity.file));
}

/** Puts a fresh identity in front of those that are there. @returns the recipients of new and old ones */
export async function addIdentity(file: string, now: string): Promise<{ recipient: string; earlier: string[] }> {
  const text = readFileSync(file, 'utf8');
  const earlier = await Promise.all((await parseIdentityFile(text, file)).map((one) => recipientOf(one)));
  const identity = await generateX25519Identity();
  const recipient = await recipientOf(identity);
  await replaceFile(file, `# created: ${now}, by rotation\n# public key: ${recipient}\n${identity}\n# Below: earlier identities; needed until every copy of every backup is wrapped anew.\n${text}`);
  return { recipient, earlier };
}

/** Moves every identity but the first to a file beside it. @returns that file, or undefined when there was only one */
export async function retireIdentities(file: string, now: string): Promise<string | undefined> {
  const text = readFileSync(file, 'utf8');
  const [first, ...old] = await parseIdentityFile(text, file);
  if (first === undefined || old.length === 0) return undefined;
  const retired = `${file}.retired-${now.replaceAll(/[-:]|\.\d+/g, '')}`;
  const handle = await open(retired, 'wx', 0o600);
  try {
    await handle.writeFile(`# retired: ${now}. No backup that could be reached needs it; copies elsewhere and locked key files may.\n${old.join('\n')}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await replaceFile(file, `# public key: ${await recipientOf(first)}\n# Resurgo restore identity. SECRET: who has it can read every backup; without it nobody can.\n${first}\n`);
  return retired;
}
