import type { AttemptKeys } from '../../domain/backup.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { keysPrefix } from '../repository/layout.ts';
import type { HostKey } from './host-key.ts';
import { unwrapKeys, unwrapMetadataKey } from './keys.ts';
import type { MetadataKey } from './keys.ts';

/** What a caller may have to open a backup with. */
export interface Credentials {
  /** `AGE-SECRET-KEY-…` lines. */
  readonly identities?: readonly string[];
  readonly passphrase?: string;
  /** Opens index and engine facts of the host's own backups, not their parts. */
  readonly hostKey?: HostKey;
  /** Keys in hand, from a run file; nothing is unwrapped then. */
  readonly keys?: AttemptKeys;
}

export interface OpenKeysOptions {
  readonly stores: readonly ObjectStore[];
  /** Backup id. */
  readonly backup: string;
  readonly attempt: string;
  readonly credentials: Credentials;
  readonly signal?: AbortSignal;
}

/**
 * All keys of a backup: tries every `keys/<id>/*.age` of every store.
 * @throws keyMissing when nothing of the right kind is given, wrongKey when nothing given fits, objectMissing when no store has a key file
 */
export async function openKeys(options: OpenKeysOptions): Promise<AttemptKeys> {
  const { credentials } = options;
  if (credentials.keys !== undefined) return checked(credentials.keys, options, 'keys given');
  const { identities, passphrase } = credentials;
  return tryFiles(
    options,
    (name) => name !== 'host.age',
    (file, what) =>
      unwrapKeys(file, { ...(identities && { identities }), ...(passphrase !== undefined && { passphrase }) }, what),
  );
}

/**
 * The metadata key alone, by the host key.
 * @throws as {@link openKeys}
 */
export async function openMetadataKey(options: OpenKeysOptions): Promise<MetadataKey> {
  const { hostKey } = options.credentials;
  if (hostKey === undefined)
    throw new ResurgoError('keyMissing', `backup ${options.backup}: no identity, passphrase or host key is given`);
  return tryFiles(
    options,
    (name) => name === 'host.age',
    (file, what) => unwrapMetadataKey(file, { identities: [hostKey.identity] }, what),
  );
}

async function tryFiles<T extends MetadataKey>(
  options: OpenKeysOptions,
  wanted: (name: string) => boolean,
  unwrap: (file: Buffer, what: string) => Promise<T>,
): Promise<T> {
  const prefix = keysPrefix(options.backup);
  const problems: ResurgoError[] = [];
  for (const store of options.stores) {
    try {
      for await (const { key } of store.list(prefix, options.signal)) {
        const name = key.slice(prefix.length);
        if (!name.endsWith('.age') || name.includes('/') || !wanted(name)) continue;
        const what = `${key} in ${store.name}`;
        try {
          return checked(
            await unwrap(await store.get(key, options.signal && { signal: options.signal }), what),
            options,
            what,
          );
        } catch (error) {
          if (!isResurgoError(error) || error.code === 'cancelled') throw error;
          problems.push(error);
        }
      }
    } catch (error) {
      if (!isResurgoError(error) || error.code === 'cancelled') throw error;
      problems.push(error);
    }
  }
  throw (
    worst(problems) ??
    new ResurgoError(
      'objectMissing',
      `backup ${options.backup}: no key file below ${prefix} in ${options.stores.map((store) => store.name).join(', ')}`,
    )
  );
}

/**
 * An unreachable store comes first: with it the answer might be another. Then a key that was refused, then one that is
 * missing; damage of one file matters only when no key was refused.
 */
function worst(problems: readonly ResurgoError[]): ResurgoError | undefined {
  const byCode = (code: string): ResurgoError | undefined => problems.find((error) => error.code === code);
  return (
    problems.find((error) => error.definition.retryable) ?? byCode('wrongKey') ?? byCode('keyMissing') ?? problems[0]
  );
}

/** A key file copied over from another backup must not pass for this one's. */
function checked<T extends MetadataKey>(keys: T, options: OpenKeysOptions, what: string): T {
  if (keys.backup !== options.backup || keys.attempt !== options.attempt)
    throw new ResurgoError(
      'wrongKey',
      `${what}: these are the keys of backup ${keys.backup}, attempt ${keys.attempt}; needed are those of ${options.backup}, ${options.attempt}`,
    );
  return keys;
}
