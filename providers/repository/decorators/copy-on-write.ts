import { ResurgoError } from '../../../domain/errors.ts';
import type { ObjectInfo, ObjectStore, PutOptions } from '../../../domain/ports.ts';
import { compareKeys, safeKey } from '../safe-key.ts';
import type { GetOptions } from './forwarding.ts';

/**
 * A repository as it is, and what is changed in it beside it: everything is read from `below` until it is written or deleted here, and nothing of `below` is ever
 * changed. Game days work on such a view: what a plan writes is gone with the sandbox.
 */
export class CopyOnWriteStore implements ObjectStore {
  private readonly below: ObjectStore;
  private readonly written: ObjectStore;
  /** An empty object for each deleted one of `below`. */
  private readonly gone: ObjectStore;

  /** Of the three only `written` and `gone` are this store's own. */
  constructor(below: ObjectStore, written: ObjectStore, gone: ObjectStore) {
    this.below = below;
    this.written = written;
    this.gone = gone;
  }

  get name(): string {
    return this.below.name;
  }

  get kind(): ObjectStore['kind'] {
    return this.below.kind;
  }

  async put(key: string, body: Uint8Array, options?: PutOptions): Promise<void> {
    safeKey(key);
    if (options?.ifAbsent === true && (await this.belowHas(key, options.signal))) throw new ResurgoError('objectExists', `${key} already exists in repository ${this.name}.`);
    await this.written.put(key, body, options);
  }

  async get(key: string, options?: GetOptions): Promise<Buffer> {
    if ((await this.written.head(key, options?.signal)) !== undefined) return this.written.get(key, options);
    if (await this.isGone(key, options?.signal)) throw new ResurgoError('objectMissing', `${key} is not in repository ${this.name}.`);
    return this.below.get(key, options);
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    const own = await this.written.head(key, signal);
    if (own !== undefined) return own;
    return (await this.isGone(key, signal)) ? undefined : this.below.head(key, signal);
  }

  /** Both are in key order, so they are merged as they come. */
  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    const gone = new Set<string>();
    for await (const { key } of this.gone.list(prefix, signal)) gone.add(key);
    const own = this.written.list(prefix, signal)[Symbol.asyncIterator]();
    let next = await own.next();
    for await (const info of this.below.list(prefix, signal)) {
      for (; next.done !== true && compareKeys(next.value.key, info.key) < 0; next = await own.next()) yield next.value;
      if (next.done !== true && next.value.key === info.key) {
        yield next.value;
        next = await own.next();
      } else if (!gone.has(info.key)) yield info;
    }
    for (; next.done !== true; next = await own.next()) yield next.value;
  }

  async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    const [below, own, gone] = await Promise.all([this.below.listDirectories(prefix, signal), this.written.listDirectories(prefix, signal), this.gone.listDirectories(prefix, signal)]);
    const names = new Set([...below, ...own]);
    // One of which everything may have been deleted is looked into.
    for (const name of gone) if (names.has(name) && !own.includes(name) && !(await this.holdsAnything(`${prefix}${name}/`, signal))) names.delete(name);
    return [...names].sort(compareKeys);
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    keys.forEach(safeKey);
    await this.written.delete(keys, signal);
    for (const key of keys) if (await this.belowHas(key, signal)) await this.gone.put(key, new Uint8Array(), signal === undefined ? {} : { signal });
  }

  freeBytes(): Promise<number | undefined> {
    return this.written.freeBytes();
  }

  /** `below` belongs to others. */
  async close(): Promise<void> {
    await this.written.close();
    await this.gone.close();
  }

  private async isGone(key: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.gone.head(key, signal)) !== undefined;
  }

  private async belowHas(key: string, signal?: AbortSignal): Promise<boolean> {
    return !(await this.isGone(key, signal)) && (await this.below.head(key, signal)) !== undefined;
  }

  private async holdsAnything(prefix: string, signal?: AbortSignal): Promise<boolean> {
    for await (const _ of this.list(prefix, signal)) return true;
    return false;
  }
}
