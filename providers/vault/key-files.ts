import type { Manifest } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { keysPrefix } from '../repository/layout.ts';
import { sha256Hex } from './sums.ts';

/** SHA-256 (hex) of key files by their name: `1.age`, `host.age`. */
export type KeyFileDigests = Readonly<Record<string, string>>;

/** Not the `.recipients` beside them, which say only for whom they are. */
export const isKeyFile = (name: string): boolean => name.endsWith('.age') && !name.includes('/');

/**
 * A backup whose keys are gone is no backup. Checks that at least one file with all keys is there and that each looks whole;
 * only who has the identity can open them. With digests (known while the backup is being made) every byte counts.
 * @throws partMissing, partCorrupt
 */
export async function checkKeyFiles(
  store: ObjectStore,
  manifest: Pick<Manifest, 'id' | 'attempt' | 'name'>,
  digests: KeyFileDigests = {},
  signal?: AbortSignal,
): Promise<void> {
  const prefix = keysPrefix(manifest.id);
  // Earlier versions noted the `.recipients` beside them too: those open nothing, and change with every rotation.
  const missing = new Set(Object.keys(digests).filter(isKeyFile));
  let full = 0;
  for await (const { key } of store.list(prefix, signal)) {
    const name = key.slice(prefix.length);
    if (!isKeyFile(name)) continue;
    const bytes = await store.get(key, signal && { signal });
    const expected = digests[name];
    const found = sha256Hex(bytes);
    if (expected !== undefined && found !== expected)
      throw new ResurgoError('partCorrupt', `${key} in ${store.name}: SHA-256 is ${found}, expected ${expected}`);
    missing.delete(name);
    if (name === 'host.age') continue;
    const why = damageOf(bytes, manifest);
    if (why !== undefined) throw new ResurgoError('partCorrupt', `${key} in ${store.name}: ${why}`);
    full++;
  }
  const [first] = missing;
  if (first !== undefined || full === 0)
    throw new ResurgoError(
      'partMissing',
      `${prefix}${first ?? '1.age'} is not in ${store.name}: backup ${manifest.name} could not be opened`,
    );
}

/** Of the key files as they are now: what a copy that was made without its source's digests is held against later. */
export async function digestKeyFiles(store: ObjectStore, backup: string, signal?: AbortSignal): Promise<Record<string, string>> {
  const prefix = keysPrefix(backup);
  const digests: Record<string, string> = {};
  for await (const { key } of store.list(prefix, signal)) {
    const name = key.slice(prefix.length);
    if (isKeyFile(name)) digests[name] = sha256Hex(await store.get(key, signal && { signal }));
  }
  return digests;
}

/** What can be seen without a key: an age header, and room behind it for the payload. */
function damageOf(file: Buffer, { id, attempt }: Pick<Manifest, 'id' | 'attempt'>): string | undefined {
  if (file.subarray(0, 40).toString('latin1').startsWith('-----BEGIN AGE ENCRYPTED FILE-----')) return undefined; // by hand
  const text = file.toString('latin1');
  const header =
    /^age-encryption\.org\/v1\n(?:-> [^\n]+\n(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)+--- [A-Za-z0-9+/]{43}\n/.exec(
      text,
    );
  if (header === null) return `its ${String(file.length)} bytes do not begin with the header of an age file`;
  const base64Key = 'x'.repeat(44);
  const payload = JSON.stringify({ backup: id, attempt, dataKey: base64Key, metadataKey: base64Key }).length;
  const least = header[0].length + 16 + payload + 16;
  return file.length < least
    ? `it has ${String(file.length)} bytes, at least ${String(least)} are needed: cut off`
    : undefined;
}
