import path from 'node:path';
import { describeSecret, resolveSecret } from '../../config/secret.ts';
import { hostPublic, parseHostKey } from '../../providers/vault/host-key.ts';
import { parseIdentityFile, parseRecipient, recipientOf } from '../../providers/vault/identity-file.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** Recipients, identity, passphrase and host key: there, readable by us alone, and fitting each other. */
export async function checkKeys({ loaded, env }: CheckScope): Promise<Finding[]> {
  const { encryption, repositories } = loaded.config;
  const findings = new Findings('keys');
  const recipients = encryption.recipients ?? [];
  try {
    for (const recipient of recipients) parseRecipient(recipient);
    const key = await parseHostKey(resolveSecret(encryption.hostKey, 'encryption.hostKey', env), 'encryption.hostKey');
    findings.ok(`host key: ${describeSecret(encryption.hostKey)}, public key ${hostPublic(key).publicKey}`);
  } catch (error) {
    findings.error(error);
  }
  if (encryption.passphrase !== undefined) {
    try {
      resolveSecret(encryption.passphrase, 'encryption.passphrase', env);
      findings.ok(`passphrase: ${describeSecret(encryption.passphrase)}`);
    } catch (error) {
      findings.error(error);
    }
    return findings.list;
  }
  const { identity } = encryption;
  if (identity === undefined) {
    findings.note(
      `${count(recipients.length, 'recipient')}, no identity: this host can back up and verify, but not restore`,
      'Set encryption.identity where restores run.',
    );
    return findings.list;
  }
  try {
    const identities = await parseIdentityFile(
      resolveSecret(identity, 'encryption.identity', env),
      describeSecret(identity),
    );
    const own = await Promise.all(identities.map((text) => recipientOf(text)));
    const fitting = own.filter((recipient) => recipients.includes(recipient));
    if (fitting.length > 0)
      findings.ok(
        `identity: ${describeSecret(identity)} opens what is backed up for ${count(recipients.length, 'recipient')}`,
      );
    else {
      findings.fail(
        `identity: ${describeSecret(identity)} belongs to none of the recipients, so it cannot open what is backed up from now on`,
        `Add its recipient to encryption.recipients: ${own.join(', ')}`,
        'wrongKey',
      );
    }
    for (const [name, repository] of Object.entries(repositories)) {
      if (
        repository.type === 'disk' &&
        'file' in identity &&
        !path.relative(repository.path, identity.file).startsWith('..')
      ) {
        findings.warn(
          `the identity lies inside repository ${name}: who has the backups has the key`,
          'Keep it elsewhere.',
        );
      }
    }
  } catch (error) {
    findings.error(error);
  }
  return findings.list;
}

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;
