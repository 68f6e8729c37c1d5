import { ResurgoError } from '../../domain/errors.ts';

/** Names of targets, system ids, attempts, backups: one path segment of the repository format. */
const segmentPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
// Control characters break listings (XML), terminals and line-based tools; U+FFFD is what undecodable bytes become.
const refusedCharacters = /[\u0000-\u001f\u007f\u2028\u2029\ufffd]/;

/** The longest key that every store takes (the limit of S3), UTF-8 bytes. */
export const maxKeyBytes = 1024;

export const isSafeSegment = (value: string): boolean => segmentPattern.test(value);

/** @throws unsafePath */
export function safeSegment(value: string, what: string): string {
  if (!isSafeSegment(value))
    throw new ResurgoError(
      'unsafePath',
      `${what} ${JSON.stringify(value.slice(0, 200))} is not a safe name (letters, digits, '.', '_', '-'; at most 128).`,
    );
  return value;
}

/** Whether a key stays inside its repository: relative, no empty, `.` or `..` segments, no control characters, well-formed. */
export function isSafeKey(key: string): boolean {
  if (key === '' || refusedCharacters.test(key) || !key.isWellFormed() || Buffer.byteLength(key) > maxKeyBytes)
    return false;
  return key.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}

/** @throws unsafePath */
export function safeKey(key: string): string {
  if (!isSafeKey(key))
    throw new ResurgoError(
      'unsafePath',
      `The object key ${JSON.stringify(key.slice(0, 200))} is not allowed: it must be relative, without empty, '.' or '..' segments or control characters, and at most ${String(maxKeyBytes)} bytes.`,
    );
  return key;
}

/**
 * A prefix to list: empty, or a key that may end with `/` or inside a segment.
 * @throws unsafePath
 */
export function safePrefix(prefix: string): string {
  if (prefix !== '') safeKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
  return prefix;
}

/** Order of keys in every store: by their UTF-8 bytes, as S3 lists them. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  // UTF-16 order differs from UTF-8 order only where surrogates meet the characters above them.
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return x >= 0xd800 && y >= 0xd800 ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : x - y;
  }
  return a.length - b.length;
}
