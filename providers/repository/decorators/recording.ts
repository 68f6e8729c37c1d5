import type { ObjectInfo, PutOptions } from '../../../domain/ports.ts';
import { ForwardingStore, type GetOptions } from './forwarding.ts';

export type Operation = 'put' | 'get' | 'head' | 'list' | 'listDirectories' | 'delete' | 'sweepTemporary';

export interface RecordedCall {
  readonly operation: Operation;
  /** Key or prefix. A delete makes one record per key. */
  readonly key: string;
  /** Sent or received; 0 for the others and for failures. */
  readonly bytes: number;
  readonly ok: boolean;
}

/** Notes every call: what was sent twice, how much was read. For tests and for measuring. */
export class RecordingStore extends ForwardingStore {
  readonly calls: RecordedCall[] = [];

  /** Calls of an operation (and key). */
  count(operation: Operation, key?: string): number {
    return this.#chosen(operation, key).length;
  }

  bytes(operation: Operation, key?: string): number {
    return this.#chosen(operation, key).reduce((sum, call) => sum + call.bytes, 0);
  }

  /** Keys that were put with success more than once. */
  putTwice(): string[] {
    const keys = this.calls.filter((c) => c.operation === 'put' && c.ok).map((c) => c.key);
    return [...new Set(keys.filter((key, i) => keys.indexOf(key) !== i))];
  }

  reset(): void {
    this.calls.length = 0;
  }

  override async put(key: string, body: Uint8Array, options?: PutOptions): Promise<void> {
    await this.#note(
      'put',
      key,
      async () => super.put(key, body, options),
      () => body.length,
    );
  }

  override async get(key: string, options?: GetOptions): Promise<Buffer> {
    return this.#note(
      'get',
      key,
      async () => super.get(key, options),
      (body) => body.length,
    );
  }

  override async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.#note('head', key, async () => super.head(key, signal));
  }

  override async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    let ok = false;
    try {
      yield* super.list(prefix, signal);
      ok = true;
    } finally {
      this.calls.push({ operation: 'list', key: prefix, bytes: 0, ok });
    }
  }

  override async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    return this.#note('listDirectories', prefix, async () => super.listDirectories(prefix, signal));
  }

  override async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    let ok = false;
    try {
      await super.delete(keys, signal);
      ok = true;
    } finally {
      for (const key of keys) this.calls.push({ operation: 'delete', key, bytes: 0, ok });
    }
  }

  #chosen(operation: Operation, key: string | undefined): RecordedCall[] {
    return this.calls.filter((c) => c.operation === operation && (key === undefined || c.key === key));
  }

  async #note<T>(
    operation: Operation,
    key: string,
    work: () => Promise<T>,
    size: (result: T) => number = () => 0,
  ): Promise<T> {
    try {
      const result = await work();
      this.calls.push({ operation, key, bytes: size(result), ok: true });
      return result;
    } catch (error) {
      this.calls.push({ operation, key, bytes: 0, ok: false });
      throw error;
    }
  }
}
