import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ObjectStore } from '../../domain/ports.ts';
import { readManifestBytes } from './backup-files.ts';
import { type BackupPlace, keysOf } from './layout.ts';
import { openRepository } from './repository-file.ts';

/**
 * Manifests on local disk, so that a listing reads each one once: they never change. Only for showing; what restores or verifies reads the
 * repository. The cache is kept by repository id, is never trusted beyond its own checksum, and is safe to delete at any time.
 */
export class ManifestCache {
  readonly #directory: string;
  readonly #ids = new WeakMap<ObjectStore, Promise<string>>();

  /** @param directory made 0700 when missing */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** As `readManifestBytes`. @throws backupUnknown */
  async read(store: ObjectStore, ref: BackupPlace, signal?: AbortSignal): Promise<Buffer> {
    const file = join(this.#directory, await this.#idOf(store), keysOf(ref).manifest);
    const kept = await readFile(file).catch(() => undefined);
    const cached = kept === undefined ? undefined : unwrap(kept);
    if (cached !== undefined) return cached;
    const bytes = await readManifestBytes(store, ref, signal);
    await this.#keep(file, bytes);
    return bytes;
  }

  async #idOf(store: ObjectStore): Promise<string> {
    const known = this.#ids.get(store);
    if (known !== undefined) return known;
    const asked = openRepository(store).then(({ id }) => id);
    this.#ids.set(store, asked);
    asked.catch(() => this.#ids.delete(store));
    return asked;
  }

  /** A cache that cannot be written is only slower. */
  async #keep(file: string, bytes: Buffer): Promise<void> {
    const temporary = `${file}.${randomBytes(6).toString('hex')}`;
    try {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await writeFile(temporary, Buffer.concat([Buffer.from(`${digest(bytes)}\n`), bytes]), {
        mode: 0o600,
        flag: 'wx',
      });
      await rename(temporary, file);
    } catch {
      await unlink(temporary).catch(() => undefined);
    }
  }
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Nothing is synced: after a power loss a file may be empty or torn, which its first line tells. */
function unwrap(kept: Buffer): Buffer | undefined {
  const bytes = kept.subarray(65);
  return kept.length > 65 && kept.subarray(0, 64).toString('latin1') === digest(bytes) ? bytes : undefined;
}
