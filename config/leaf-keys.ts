/** Values that are keys or secrets. None of them is ever shown. */
import { isBech32 } from './bech32.ts';
import { asText, leaf, refuse, secretLeaf } from './leaf-core.ts';
import { LiteralSecret, redactUrl } from './secret.ts';

/** A secret: kept as a reference, resolved where it is used. Its value is never shown. */
export const secret = (
  description: string,
  options: { check?: (value: string) => string | undefined; shown?: (value: string) => string } = {},
) =>
  secretLeaf({ kind: 'secret', description }, (value) => {
    if (typeof value !== 'string')
      return refuse(
        `is a ${typeof value}, not text; put it in quotes, or better give it as { env: NAME } or { file: PATH }`,
      );
    if (value === '') return refuse('is empty');
    const reason = options.check?.(value);
    return reason === undefined ? new LiteralSecret(value, options.shown?.(value)) : refuse(reason);
  });

/** A connection URL, by reference or, without the password, in plain words. */
export const connection = (description: string) =>
  secretLeaf({ kind: 'PostgreSQL URL', description, example: '{ env: SHOP_URL }' }, (value) => {
    if (typeof value !== 'string') return refuse('is not a PostgreSQL URL');
    const word = value.trim();
    return /^postgres(ql)?:\/\/./.test(word)
      ? new LiteralSecret(word, redactUrl(word))
      : refuse('must begin with postgres:// or postgresql://');
  });

/** A key file: a path, `{ file }` or `{ env }`; the key itself may not stand in the configuration. */
export const keyFile = (description: string, example?: string) =>
  secretLeaf({ kind: 'key file', description, ...(example === undefined ? {} : { example }) }, (value) => {
    if (typeof value !== 'string') return refuse('is not a path');
    if (/AGE-SECRET-KEY-|AGE-PLUGIN-|-----BEGIN|signing-key|\n/i.test(value))
      return refuse('holds the key itself; keep it in a file of mode 0600 and name that: { file: ./resurgo.key }');
    return value.trim() === '' ? refuse('is empty') : { file: value };
  });

export const recipient = (description: string) =>
  leaf<string>(
    { kind: 'age recipient', description },
    (value) => {
      if (typeof value === 'string' && /^AGE-(SECRET-KEY|PLUGIN)-/i.test(value))
        return refuse(
          'is an identity (the secret half), not a recipient; replace that key, it was in a file it should not be in',
        );
      if (typeof value !== 'string' || !/^age1[a-z0-9]+$/.test(value))
        return refuse('is not an age recipient; it begins with age1');
      return isBech32(value)
        ? value
        : refuse('is not a valid age recipient: its checksum does not fit; was a character lost or changed?');
    },
    // Never shown: somebody put the secret half here.
    { secret: true },
  );

export const publicKey = (description: string) =>
  leaf<string>({ kind: 'ed25519 public key', description }, (value) => {
    const word = asText(value);
    return Buffer.from(word, 'base64').length === 32 && /^[A-Za-z0-9+/]{43}=$/.test(word)
      ? word
      : refuse('is not an ed25519 public key: 32 bytes in base64');
  });
