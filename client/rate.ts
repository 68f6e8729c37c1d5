/** Bytes per second over the last seconds, and the time left. */
export class RateMeter {
  private samples: { time: number; bytes: number }[] = [];
  private readonly windowMs: number;

  constructor(windowMs = 10_000) {
    this.windowMs = windowMs;
  }

  /** A count that falls (another attempt, another phase) begins anew. */
  add(bytes: number, time: number): void {
    const last = this.samples.at(-1);
    if (last && bytes < last.bytes) this.samples = [];
    this.samples.push({ time, bytes });
    // One sample older than the window stays, so that slow reports still make a rate.
    while ((this.samples[1]?.time ?? Infinity) < time - this.windowMs) this.samples.shift();
  }

  /** Undefined until two reports lie at least half a second apart. */
  bytesPerSecond(): number | undefined {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.time - first.time < 500) return undefined;
    return ((last.bytes - first.bytes) * 1000) / (last.time - first.time);
  }

  /** Milliseconds; undefined while it cannot be told. */
  remainingMs(total: number | undefined): number | undefined {
    const rate = this.bytesPerSecond();
    const done = this.samples.at(-1)?.bytes ?? 0;
    return total === undefined || rate === undefined || rate <= 0 || total < done
      ? undefined
      : ((total - done) / rate) * 1000;
  }
}
