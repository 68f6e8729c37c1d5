import { Decrypter, Encrypter } from 'age-encryption';
import { ResurgoError } from '../../domain/errors.ts';

/** What may open an age file. */
export interface AgeCredentials {
  /** `AGE-SECRET-KEY-1…` lines; see identity-file.ts. */
  readonly identities?: readonly string[];
  readonly passphrase?: string;
}

/** Who may open an age file: recipients or one passphrase; the age format does not allow both in one file. */
export interface AgeAudience {
  readonly recipients?: readonly string[];
  readonly passphrase?: string;
  /** Base-2 logarithm of the scrypt work; 18 takes about a second. Tests lower it. */
  readonly scryptWorkFactor?: number;
}

/**
 * Encrypts a small payload (keys) to recipients or a passphrase. The `age` tool opens the result.
 * @throws inputInvalid when there is nobody to encrypt to, both kinds are given, or a recipient is malformed
 */
export async function encryptToAge(plain: Uint8Array, audience: AgeAudience): Promise<Uint8Array> {
  const recipients = audience.recipients ?? [];
  if (recipients.length === 0 && audience.passphrase === undefined)
    throw new ResurgoError(
      'inputInvalid',
      'nobody to encrypt the keys to: neither a recipient nor a passphrase is given',
    );
  if (recipients.length > 0 && audience.passphrase !== undefined)
    throw new ResurgoError(
      'inputInvalid',
      'an age file is for recipients or for a passphrase, not for both: make two files',
    );
  const encrypter = new Encrypter();
  if (audience.passphrase !== undefined) {
    if (audience.passphrase === '') throw new ResurgoError('inputInvalid', 'the passphrase is empty');
    encrypter.setPassphrase(audience.passphrase);
    if (audience.scryptWorkFactor !== undefined) encrypter.setScryptWorkFactor(audience.scryptWorkFactor);
  }
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch (cause) {
      throw new ResurgoError(
        'inputInvalid',
        `"${recipient.slice(0, 80)}" is not an age recipient: ${messageOf(cause)}`,
        { cause },
      );
    }
  }
  return encrypter.encrypt(plain);
}

/**
 * Opens an age file.
 * @throws keyMissing when no credential of the file's kind is given, wrongKey when none of those given opens it,
 *   partCorrupt when the file is damaged
 */
export async function decryptAge(file: Uint8Array, credentials: AgeCredentials, what: string): Promise<Uint8Array> {
  const identities = credentials.identities ?? [];
  const { passphrase } = credentials;
  const byPassphrase = isPassphraseFile(file);
  if (identities.length === 0 && passphrase === undefined)
    throw new ResurgoError('keyMissing', `${what}: no identity and no passphrase is given`);
  if (byPassphrase && passphrase === undefined)
    throw new ResurgoError('keyMissing', `${what}: opened by a passphrase only, and none is given`);
  if (!byPassphrase && identities.length === 0)
    throw new ResurgoError('keyMissing', `${what}: opened by an age identity only, and none is given`);
  const decrypter = new Decrypter();
  if (byPassphrase && passphrase !== undefined) decrypter.addPassphrase(passphrase);
  else
    for (const identity of identities) {
      try {
        decrypter.addIdentity(identity);
      } catch (cause) {
        // Never the identity itself: it is a secret.
        throw new ResurgoError(
          'wrongKey',
          `${what}: one of the identities given is not a valid age identity: ${messageOf(cause)}`,
          { cause },
        );
      }
    }
  try {
    return await decrypter.decrypt(file);
  } catch (cause) {
    const message = messageOf(cause);
    if (/no identity matched/.test(message))
      throw new ResurgoError(
        'wrongKey',
        byPassphrase
          ? `${what}: the passphrase is not the right one`
          : `${what}: none of the ${String(identities.length)} identities given opens it`,
        { cause },
      );
    throw new ResurgoError('partCorrupt', `${what}: the age file is damaged: ${message}`, { cause });
  }
}

function isPassphraseFile(file: Uint8Array): boolean {
  const header = Buffer.from(file.buffer, file.byteOffset, Math.min(file.length, 4096)).toString('latin1');
  return /^age-encryption\.org\/v1\n-> scrypt /.test(header);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
