import type { ObjectStore } from '../domain/ports.ts';

export interface FeederOptions {
  readonly from: ObjectStore;
  readonly to: ObjectStore;
  /** Parts sent at once. */
  readonly parallel?: number;
  readonly signal: AbortSignal;
  /** Called when a part is durable in `to`. */
  readonly onStored: (part: FedPart) => void;
  /** Called once, when this repository is given up for the rest of the dump. */
  readonly onGivenUp: (error: unknown) => void;
}

export interface FedPart {
  readonly key: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Feeds one further repository beside the dump: parts go there as they become durable in the primary store. The first error ends the feeding
 * (the dump goes on; `storeBackup` sends the rest and has the patience), so that a slow or dead repository never holds up the dump.
 */
export class Feeder {
  private readonly options: FeederOptions;
  private readonly queue: FedPart[] = [];
  private running = 0;
  private closed = false;
  private wake: (() => void) | undefined;
  givenUp = false;

  constructor(options: FeederOptions) {
    this.options = options;
  }

  get backlogBytes(): number {
    return this.queue.reduce((sum, part) => sum + part.bytes, 0);
  }

  offer(part: FedPart): void {
    if (this.givenUp || this.closed) return;
    this.queue.push(part);
    this.pump();
  }

  /** Takes no more; resolves when what is under way has ended. */
  async close(): Promise<void> {
    this.closed = true;
    this.queue.length = 0;
    while (this.running > 0) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private pump(): void {
    while (this.running < (this.options.parallel ?? 2) && this.queue.length > 0) {
      const part = this.queue.shift();
      if (part === undefined) return;
      this.running++;
      this.send(part)
        .catch((error: unknown) => {
          this.givenUp = true;
          this.queue.length = 0;
          this.options.onGivenUp(error);
        })
        .finally(() => {
          this.running--;
          this.wake?.();
          if (!this.closed) this.pump();
        })
        .catch(() => undefined);
    }
  }

  private async send(part: FedPart): Promise<void> {
    const { from, to, signal, onStored } = this.options;
    const body = await from.get(part.key, { signal });
    await to.put(part.key, body, { sha256: part.sha256, signal });
    onStored(part);
  }
}
