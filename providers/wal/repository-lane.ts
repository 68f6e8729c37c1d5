import { setTimeout as sleep } from 'node:timers/promises';
import { coverage, frontier, type WalPiece } from '../../domain/wal.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import type { SealedWal, WalSealer } from './sealer.ts';

/** Objects on their way to one repository at once. */
const atOnce = 3;
/** A repository that is not required and has so many waiting is left behind, and catches up by copy: it must not hold the others up. */
const mostWaiting = 1;
const longestWaitMs = 10_000;

interface Job {
  readonly key: string;
  readonly sealed: SealedWal;
  readonly done: () => void;
}

/**
 * The way into one repository. A required one is tried until it takes the object, however long that is: the caller waits, and the slot holds the rest
 * on the server. Another one falls behind instead.
 */
export class RepositoryLane {
  readonly store: ObjectStore;
  readonly required: boolean;
  readonly pieces: WalPiece[] = [];
  /** Words of the last failure while it lasts. */
  problem: ResurgoError | undefined;
  late = false;
  private readonly sealer: WalSealer;
  private readonly signal: AbortSignal;
  private readonly queue: Job[] = [];
  private running = 0;

  constructor(options: { readonly store: ObjectStore; readonly required: boolean; readonly sealer: WalSealer; readonly signal: AbortSignal }) {
    this.store = options.store;
    this.required = options.required;
    this.sealer = options.sealer;
    this.signal = options.signal;
  }

  private get stopped(): boolean {
    return this.signal.aborted;
  }

  reach(from: bigint): bigint {
    return frontier(this.pieces, from);
  }

  /** Resolves when the object is stored, or when the repository is left behind; rejects only when all is stopped. */
  put(key: string, sealed: SealedWal, piece: WalPiece | undefined): Promise<void> {
    if (!this.required && (this.late || this.queue.length >= mostWaiting)) {
      this.late = true;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.queue.push({ key, sealed, done: () => { if (piece !== undefined && !this.late) this.pieces.push(piece); resolve(); } });
      this.pump();
    });
  }

  private pump(): void {
    while (this.running < atOnce && this.queue.length > 0) {
      const job = this.queue.shift() as Job;
      this.running++;
      void this.store_(job).finally(() => {
        this.running--;
        this.pump();
      });
    }
  }

  private async store_({ key, sealed, done }: Job): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      if (this.stopped) return;
      try {
        if (sealed.key !== undefined) await this.sealer.storeKey(this.store, sealed.key, this.signal);
        await this.store.put(key, sealed.object, { ...(this.store.kind === 's3' ? { sha256: sealed.sha256() } : {}), signal: this.signal });
        this.problem = undefined;
        done();
        return;
      } catch (error) {
        this.problem = isResurgoError(error) ? error : new ResurgoError('repositoryUnreachable', `${this.store.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
        if (!this.required) {
          this.late = true;
          done();
          return;
        }
        // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- others set it while this one waits
        if (this.stopped) return;
        await sleep(Math.min(longestWaitMs, 500 * 2 ** attempt), undefined, { signal: this.signal }).catch(() => undefined);
      }
    }
  }

  /** Forgets and removes what a larger object has made superfluous. It may stay where it cannot be removed: it only takes room. */
  async drop(prefix: string, superfluous: (piece: WalPiece) => boolean): Promise<void> {
    const gone = this.pieces.filter(superfluous);
    if (gone.length === 0) return;
    const names = new Set(gone.map(({ name }) => name));
    const left = this.pieces.filter(({ name }) => !names.has(name));
    // Only where this repository holds what replaces them.
    const held = coverage(left);
    if (!gone.every(({ start, end }) => start === end || held.some((stretch) => stretch.start <= start && end <= stretch.end))) return;
    this.pieces.splice(0, this.pieces.length, ...left);
    await this.store.delete([...names].map((name) => `${prefix}${name}`), this.signal).catch(() => undefined);
  }

  /** Old finished stretches are folded into one entry, so that a long run stays small. */
  fold(before: bigint): void {
    const old = this.pieces.filter(({ end }) => end <= before);
    if (old.length < 500) return;
    const rest = this.pieces.filter(({ end }) => end > before);
    const folded = coverage(old).map(({ start, end }): WalPiece => ({ start, end, time: undefined, key: undefined, name: '', bytes: 0 }));
    this.pieces.splice(0, this.pieces.length, ...folded, ...rest);
  }
}
