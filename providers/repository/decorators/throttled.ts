import type { ObjectInfo, ObjectStore, PutOptions } from '../../../domain/ports.ts';
import { sleep } from '../abort.ts';
import { ForwardingStore, type GetOptions } from './forwarding.ts';

export interface ThrottleOptions {
  /** Both directions together. */
  readonly bytesPerSecond?: number;
  /** Added before each request, milliseconds. */
  readonly latencyMs?: number;
}

/** A store that takes and gives no more than so many bytes per second, over all its callers. */
export class ThrottledStore extends ForwardingStore {
  readonly #options: ThrottleOptions;
  /** When the line is free again, by the monotonic clock. */
  #freeAt = 0;

  constructor(inner: ObjectStore, options: ThrottleOptions) {
    super(inner);
    this.#options = options;
  }

  override async put(key: string, body: Uint8Array, options?: PutOptions): Promise<void> {
    await this.#wait(options?.signal);
    await this.#pay(body.length, options?.signal);
    await super.put(key, body, options);
  }

  override async get(key: string, options?: GetOptions): Promise<Buffer> {
    await this.#wait(options?.signal);
    const body = await super.get(key, options);
    await this.#pay(body.length, options?.signal);
    return body;
  }

  override async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    await this.#wait(signal);
    return super.head(key, signal);
  }

  override async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    await this.#wait(signal);
    yield* super.list(prefix, signal);
  }

  override async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    await this.#wait(signal);
    return super.listDirectories(prefix, signal);
  }

  override async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#wait(signal);
    await super.delete(keys, signal);
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    if (this.#options.latencyMs !== undefined)
      await sleep(this.#options.latencyMs, signal, `A request to repository ${this.name}`);
  }

  /** Books the time these bytes take and waits until it is over. */
  async #pay(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#options.bytesPerSecond === undefined) return;
    const now = performance.now();
    this.#freeAt = Math.max(now, this.#freeAt) + (bytes / this.#options.bytesPerSecond) * 1000;
    await sleep(this.#freeAt - now, signal, `Waiting for the rate limit of repository ${this.name}`);
  }
}
