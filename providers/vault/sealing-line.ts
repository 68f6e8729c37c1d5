import { cryptoThreads } from './crypto-pool.ts';
import { slotBytes } from './crypto-jobs.ts';
import { defaultPartBytes, partBytesOf, slotsFor } from './part-size.ts';

/** What is known of a part before it is sealed. */
export interface CutPart {
  readonly n: number;
  readonly stream: string;
  readonly offset: number;
  readonly plainBytes: number;
}

export interface SealingLineOptions {
  readonly partBytes: number | undefined;
  readonly inFlight: number | undefined;
  /** Seals and stores; gives the buffer back. */
  readonly work: (slot: ArrayBuffer, part: CutPart) => Promise<ArrayBuffer>;
}

/** Numbers parts, lends their buffers, and runs the work on them, a bounded number at once. */
export class SealingLine {
  readonly #options: SealingLineOptions;
  readonly #base: number;
  readonly #idle: ArrayBuffer[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #lent = 0;
  #next = 1;
  #error: { readonly cause: unknown } | undefined;

  constructor(options: SealingLineOptions) {
    this.#options = options;
    this.#base = options.partBytes ?? defaultPartBytes;
  }

  /** Plain bytes the next part takes. */
  get partBytes(): number {
    return partBytesOf(this.#next, this.#base);
  }

  /** A buffer for the next part, or undefined when all are in use: then {@link ready} tells when to ask again. */
  take(): ArrayBuffer | undefined {
    this.assertAlive();
    const bytes = slotBytes(this.partBytes);
    if (this.#lent >= (this.#options.inFlight ?? slotsFor(cryptoThreads, this.partBytes))) return undefined;
    this.#lent++;
    let slot = this.#idle.pop();
    if (slot !== undefined && slot.byteLength < bytes) {
      slot.transfer(0); // parts have grown
      slot = undefined;
    }
    return slot ?? Buffer.allocUnsafeSlow(bytes).buffer;
  }

  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) reject(this.#error.cause);
      else this.#waiting.push({ resolve, reject });
    });
  }

  /** Sends a filled buffer from {@link take} on its way. */
  submit(slot: ArrayBuffer, part: Omit<CutPart, 'n'>): void {
    const n = this.#next++;
    const run = this.#options.work(slot, { n, ...part }).then(
      (returned) => this.#giveBack(returned),
      (error: unknown) => this.fail(error),
    );
    this.#running.add(run);
    void run.then(() => this.#running.delete(run));
  }

  /** A buffer from {@link take} that was not needed. */
  #giveBack(slot: ArrayBuffer): void {
    this.#lent--;
    if (this.#error !== undefined) slot.transfer(0);
    else this.#idle.push(slot);
    this.#waiting.shift()?.resolve();
  }

  /** The first error counts; everybody who waits gets it. */
  fail(error: unknown): void {
    this.#error ??= { cause: error };
    for (const each of this.#waiting.splice(0)) each.reject(this.#error.cause);
  }

  assertAlive(): void {
    if (this.#error !== undefined) throw this.#error.cause;
  }

  /** Waits for all work, then gives the memory back. @throws the first error */
  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    for (const slot of this.#idle.splice(0)) slot.transfer(0);
    this.assertAlive();
  }
}
