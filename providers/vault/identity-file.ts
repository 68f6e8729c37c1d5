import { Encrypter, identityToRecipient } from 'age-encryption';
import { ResurgoError } from '../../domain/errors.ts';

const supported = /^AGE-SECRET-KEY-(1|PQ-1)/;

/**
 * The identities of an age identity file (as `age-keygen` writes it): one a line, `#` comments, empty lines.
 * @param name how messages call the file
 * @throws configInvalid naming the line, never its text: it may be a secret
 */
export async function parseIdentityFile(text: string, name = 'identity file'): Promise<string[]> {
  if (text.startsWith('age-encryption.org/v1') || text.startsWith('-----BEGIN AGE ENCRYPTED FILE'))
    throw new ResurgoError('configInvalid', `${name} is itself encrypted: decrypt it first with \`age -d\``);
  const identities: string[] = [];
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const at = `${name}, line ${String(index + 1)}`;
    if (line.startsWith('age1'))
      throw new ResurgoError(
        'configInvalid',
        `${at}: this is a recipient (public key); an identity begins with AGE-SECRET-KEY-`,
      );
    if (line.startsWith('AGE-PLUGIN-'))
      throw new ResurgoError('configInvalid', `${at}: identities of age plugins are not supported`);
    if (line.startsWith('-----BEGIN'))
      throw new ResurgoError(
        'configInvalid',
        `${at}: SSH keys are not supported; make an identity with \`age-keygen\``,
      );
    if (!supported.test(line))
      throw new ResurgoError('configInvalid', `${at}: not an age identity; it would begin with AGE-SECRET-KEY-`);
    await recipientOf(line, at);
    identities.push(line);
  }
  if (identities.length === 0) throw new ResurgoError('configInvalid', `${name} holds no identity`);
  return identities;
}

/**
 * The recipient (public key) of an identity.
 * @throws configInvalid
 */
export async function recipientOf(identity: string, at = 'identity'): Promise<string> {
  try {
    return await identityToRecipient(identity);
  } catch {
    throw new ResurgoError('configInvalid', `${at}: a damaged age identity (mistyped or cut off)`);
  }
}

/**
 * Checks an age recipient, as in `encryption.recipients`, and returns it trimmed.
 * @throws configInvalid
 */
export function parseRecipient(text: string): string {
  const recipient = text.trim();
  const shown = `"${recipient.length > 80 ? `${recipient.slice(0, 77)}…` : recipient}"`;
  if (/^AGE-SECRET-KEY-/i.test(recipient))
    throw new ResurgoError(
      'configInvalid',
      'a secret age identity is given where a recipient (age1…) is expected: treat it as leaked if it was written to a shared place',
    );
  if (recipient.startsWith('ssh-'))
    throw new ResurgoError(
      'configInvalid',
      `${shown}: SSH recipients are not supported; make a pair with \`age-keygen\``,
    );
  if (!recipient.startsWith('age1'))
    throw new ResurgoError('configInvalid', `${shown} is not an age recipient: it would begin with age1`);
  try {
    new Encrypter().addRecipient(recipient);
  } catch (cause) {
    throw new ResurgoError('configInvalid', `${shown} is a damaged age recipient (mistyped or cut off)`, { cause });
  }
  return recipient;
}
