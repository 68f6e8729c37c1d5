/** Damage done to a stored backup on disk, as bit rot, operators and attackers do it. */
import { copyFileSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupRef, Manifest, SignedManifest } from '../../domain/backup.ts';
import { listBackups } from '../../providers/repository/catalogue.ts';
import { keysOf, keysPrefix } from '../../providers/repository/layout.ts';
import { openStore } from '../../providers/repository/open-store.ts';
import { generateHostKey } from '../../providers/vault/host-key.ts';
import { formatManifest, signManifest } from '../../providers/vault/publish.ts';

/** Files of one backup in a disk repository. */
export interface StoredFiles {
  readonly ref: BackupRef;
  readonly manifest: string;
  readonly sums: string;
  readonly index: string;
  /** In order. */
  readonly parts: readonly string[];
  readonly keys: string;
  readonly hostKeys: string;
}

/** Newest first. */
export async function storedBackups(root: string, target: string): Promise<StoredFiles[]> {
  const store = await openStore('tamper', { type: 'disk', path: root });
  return (await listBackups(store, target)).map((ref) => {
    const keys = keysOf(ref);
    const parts = readdirSync(join(root, keys.partsPrefix)).toSorted().map((name) => join(root, keys.partsPrefix, name));
    const wrapped = join(root, keysPrefix(ref.id));
    return { ref, manifest: join(root, keys.manifest), sums: join(root, keys.sums), index: join(root, keys.index), parts, keys: join(wrapped, '1.age'), hostKeys: join(wrapped, 'host.age') };
  });
}

export const flip = (path: string, at = 0.5): void => {
  const bytes = readFileSync(path);
  const i = Math.min(bytes.length - 1, Math.floor(bytes.length * at));
  bytes[i] = (bytes[i] ?? 0) ^ 1;
  writeFileSync(path, bytes);
};
export const cut = (path: string, keep = 0.5): void => {
  truncateSync(path, Math.floor(readFileSync(path).length * keep));
};
export const lose = (path: string): void => {
  rmSync(path);
};
export const swap = (a: string, b: string): void => {
  const bytes = readFileSync(a);
  copyFileSync(b, a);
  writeFileSync(b, bytes);
};
export const replace = (path: string, by: string): void => {
  copyFileSync(by, path);
};
export const garbage = (path: string): void => {
  writeFileSync(path, Buffer.from('this is not what it was'));
};

export const readSigned = (path: string): SignedManifest => JSON.parse(readFileSync(path, 'utf8')) as SignedManifest;

/** Changes fields and leaves the signature as it is. */
export function alter(path: string, change: (manifest: SignedManifest) => object): void {
  writeFileSync(path, formatManifest({ ...readSigned(path), ...change(readSigned(path)) }));
}

/** Changes fields and signs with a key that nobody trusts. */
export async function forge(path: string, change: (manifest: Manifest) => Partial<Manifest>): Promise<void> {
  const { signature: _, ...manifest } = readSigned(path);
  writeFileSync(path, formatManifest(signManifest({ ...manifest, ...change(manifest) }, await generateHostKey())));
}
