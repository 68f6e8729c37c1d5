import { ResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import type { FedPart } from './feeder.ts';

export interface SpoolOptions {
  readonly store: ObjectStore;
  /** Infinity where the primary store is a repository: its parts stay. */
  readonly boundBytes: number;
  readonly repositories: readonly string[];
}

interface Held {
  readonly part: FedPart;
  readonly missing: Set<string>;
}

/**
 * Keeps a spool within its bound: a part goes as soon as every living repository holds it, and the dump waits while there is no room.
 * A repository that was given up no longer counts; the last one may not be given up while parts had to go for it.
 */
export class Spool {
  private readonly options: SpoolOptions;
  private readonly held = new Map<string, Held>();
  private readonly living: Set<string>;
  private bytes = 0;
  private failure: unknown;
  private waiters: (() => void)[] = [];

  constructor(options: SpoolOptions) {
    this.options = options;
    this.living = new Set(options.repositories);
  }

  private get bounded(): boolean {
    return Number.isFinite(this.options.boundBytes);
  }

  /** Waits for room. @throws what the last living repository failed with, or repositoryUnreachable when none ever lived */
  async room(bytes: number, signal: AbortSignal): Promise<void> {
    if (!this.bounded) return;
    while (this.bytes > 0 && this.bytes + bytes > this.options.boundBytes) {
      signal.throwIfAborted();
      if (this.living.size === 0) {
        throw (this.failure as Error | undefined) ?? new ResurgoError('repositoryUnreachable', `the spool is full (${String(this.options.boundBytes)} bytes) and no repository takes its parts`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  added(part: FedPart): void {
    if (!this.bounded) return;
    this.bytes += part.bytes;
    this.held.set(part.key, { part, missing: new Set(this.living) });
  }

  stored(repository: string, part: FedPart): void {
    const held = this.held.get(part.key);
    held?.missing.delete(repository);
    if (held !== undefined) this.release(held);
  }

  giveUp(repository: string, error: unknown): void {
    this.failure = error;
    this.living.delete(repository);
    if (this.living.size > 0) {
      for (const held of [...this.held.values()]) {
        held.missing.delete(repository);
        this.release(held);
      }
    }
    this.wake();
  }

  /** Parts are only let go when room is short, so that a small backup is still whole in the spool when the sending is taken up after a crash. */
  private release(held: Held): void {
    if (held.missing.size > 0 || this.bytes < this.options.boundBytes / 2) return;
    this.held.delete(held.part.key);
    this.bytes -= held.part.bytes;
    void this.options.store.delete([held.part.key]).catch(() => undefined);
    this.wake();
  }

  private wake(): void {
    const waiting = this.waiters;
    this.waiters = [];
    for (const resolve of waiting) resolve();
  }
}
