import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectInfo, ObjectStore, PutOptions } from '../../domain/ports.ts';
import { throwIfAborted } from './abort.ts';
import { compareKeys, safeKey, safePrefix } from './safe-key.ts';

/** Objects in memory, for tests. Takes and gives copies. */
export class MemoryStore implements ObjectStore {
  readonly name: string;
  readonly kind = 'memory' as const;
  readonly objects = new Map<string, { body: Buffer; modifiedAt: string }>();

  constructor(name = 'memory') {
    this.name = name;
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<void> {
    safeKey(key);
    await this.#turn(options.signal);
    if (options.ifAbsent === true && this.objects.has(key))
      throw new ResurgoError('objectExists', `${key} already exists in repository ${this.name}.`);
    this.objects.set(key, { body: Buffer.from(body), modifiedAt: new Date().toISOString() });
  }

  async get(key: string, options: { offset?: number; length?: number; signal?: AbortSignal } = {}): Promise<Buffer> {
    safeKey(key);
    await this.#turn(options.signal);
    const object = this.objects.get(key);
    if (object === undefined) throw new ResurgoError('objectMissing', `${key} is not in repository ${this.name}.`);
    const offset = options.offset ?? 0;
    return Buffer.from(
      object.body.subarray(offset, options.length === undefined ? undefined : offset + options.length),
    );
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    safeKey(key);
    await this.#turn(signal);
    const object = this.objects.get(key);
    return object && { key, size: object.body.length, modifiedAt: object.modifiedAt };
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    safePrefix(prefix);
    await this.#turn(signal);
    for (const key of [...this.objects.keys()].filter((k) => k.startsWith(prefix)).sort(compareKeys)) {
      const object = this.objects.get(key);
      if (object !== undefined) yield { key, size: object.body.length, modifiedAt: object.modifiedAt };
    }
  }

  async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    safePrefix(prefix);
    await this.#turn(signal);
    const names = new Set<string>();
    for (const key of this.objects.keys()) {
      const slash = key.startsWith(prefix) ? key.indexOf('/', prefix.length) : -1;
      if (slash > 0) names.add(key.slice(prefix.length, slash));
    }
    return [...names].sort(compareKeys);
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    keys.forEach(safeKey);
    await this.#turn(signal);
    for (const key of keys) this.objects.delete(key);
  }

  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Real stores never answer within the same turn. */
  async #turn(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal, `An operation on repository ${this.name}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
