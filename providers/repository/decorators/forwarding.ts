import type { ObjectInfo, ObjectStore, PutOptions } from '../../../domain/ports.ts';

export type GetOptions = { offset?: number; length?: number; signal?: AbortSignal };

/** Passes everything to another store; decorators override what they change. */
export class ForwardingStore implements ObjectStore {
  protected readonly inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.inner = inner;
  }

  get name(): string {
    return this.inner.name;
  }

  get kind(): ObjectStore['kind'] {
    return this.inner.kind;
  }

  async put(key: string, body: Uint8Array, options?: PutOptions): Promise<void> {
    await this.inner.put(key, body, options);
  }

  async get(key: string, options?: GetOptions): Promise<Buffer> {
    return this.inner.get(key, options);
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.inner.head(key, signal);
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    return this.inner.list(prefix, signal);
  }

  async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    return this.inner.listDirectories(prefix, signal);
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.inner.delete(keys, signal);
  }

  async purge(prefix: string, signal?: AbortSignal): Promise<void> {
    await this.inner.purge?.(prefix, signal);
  }

  async objectLock(signal?: AbortSignal): Promise<Awaited<ReturnType<NonNullable<ObjectStore['objectLock']>>>> {
    return this.inner.objectLock?.(signal);
  }

  async freeBytes(): Promise<number | undefined> {
    return this.inner.freeBytes();
  }

  async sweepTemporary(olderThanMs: number, signal?: AbortSignal, prefix?: string): Promise<number> {
    return (await this.inner.sweepTemporary?.(olderThanMs, signal, prefix)) ?? 0;
  }

  async close(): Promise<void> {
    await this.inner.close();
  }
}
