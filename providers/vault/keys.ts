import { randomBytes } from 'node:crypto';
import type { AttemptKeys } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { decryptAge, encryptToAge } from './age-file.ts';
import type { AgeAudience, AgeCredentials } from './age-file.ts';

/** The part of {@link AttemptKeys} that a backup host can open later with its own key: enough for index and engine facts. */
export type MetadataKey = Omit<AttemptKeys, 'dataKey'>;

/** Fresh random keys. Every attempt needs its own: part numbers are nonces. */
export function generateAttemptKeys(backup: string, attempt: string): AttemptKeys {
  return { backup, attempt, dataKey: randomBytes(32), metadataKey: randomBytes(32) };
}

/**
 * The object `keys/<backup>/<n>.age`: all keys, for recipients or for a passphrase (call it twice for both).
 * @throws inputInvalid
 */
export function wrapKeys(keys: AttemptKeys, audience: AgeAudience): Promise<Uint8Array> {
  return encryptToAge(
    payload({
      backup: keys.backup,
      attempt: keys.attempt,
      dataKey: base64(keys.dataKey),
      metadataKey: base64(keys.metadataKey),
    }),
    audience,
  );
}

/** The object `keys/<backup>/host.age`: the metadata key only, for the host metadata key. */
export function wrapMetadataKey(keys: MetadataKey, hostRecipient: string): Promise<Uint8Array> {
  return encryptToAge(payload({ backup: keys.backup, attempt: keys.attempt, metadataKey: base64(keys.metadataKey) }), {
    recipients: [hostRecipient],
  });
}

/**
 * Opens what {@link wrapKeys} made.
 * @throws keyMissing, wrongKey, partCorrupt
 */
export async function unwrapKeys(
  file: Uint8Array,
  credentials: AgeCredentials,
  what = 'key file',
): Promise<AttemptKeys> {
  const fields = parse(await decryptAge(file, credentials, what), what);
  return {
    backup: fields.text('backup'),
    attempt: fields.text('attempt'),
    dataKey: fields.key('dataKey'),
    metadataKey: fields.key('metadataKey'),
  };
}

/**
 * Opens what {@link wrapMetadataKey} made (or takes the metadata key out of a full key file).
 * @throws keyMissing, wrongKey, partCorrupt
 */
export async function unwrapMetadataKey(
  file: Uint8Array,
  credentials: AgeCredentials,
  what = 'host key file',
): Promise<MetadataKey> {
  const fields = parse(await decryptAge(file, credentials, what), what);
  return { backup: fields.text('backup'), attempt: fields.text('attempt'), metadataKey: fields.key('metadataKey') };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const payload = (value: Record<string, string>): Uint8Array => Buffer.from(`${JSON.stringify(value)}\n`);

function parse(plain: Uint8Array, what: string) {
  const bad = (why: string) => new ResurgoError('partCorrupt', `${what}: the key payload ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(plain).toString('utf8'));
  } catch {
    throw bad('is not JSON'); // no cause: the parser's message would quote key material
  }
  const text = (name: string): string => {
    const field: unknown =
      typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
    if (typeof field !== 'string' || field === '') throw bad(`has no ${name}`);
    return field;
  };
  const key = (name: string): Uint8Array => {
    const bytes = Buffer.from(text(name), 'base64');
    if (bytes.length !== 32) throw bad(`has a ${name} of ${String(bytes.length)} bytes instead of 32`);
    return bytes;
  };
  return { text, key };
}
