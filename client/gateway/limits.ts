/** A bucket of tokens: `rate` a second, four seconds' worth at once. */
export class Bucket {
  private readonly rate: number;
  private tokens: number;
  private at = performance.now();

  constructor(rate: number) {
    this.rate = rate;
    this.tokens = rate * 4;
  }

  take(): boolean {
    const now = performance.now();
    this.tokens = Math.min(this.rate * 4, this.tokens + ((now - this.at) / 1000) * this.rate);
    this.at = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}

/** Addresses that were refused too often lately: guessing tokens takes for ever. Bounded. */
export class Offenders {
  private readonly buckets = new Map<string, Bucket>();
  private readonly perSecond: number;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  /** True while this address may be wrong once more. */
  mayFail(address: string): boolean {
    let bucket = this.buckets.get(address);
    if (bucket === undefined) {
      if (this.buckets.size >= 10_000) this.buckets.clear();
      bucket = new Bucket(this.perSecond);
      this.buckets.set(address, bucket);
    }
    return bucket.take();
  }
}

/** What was accepted a moment ago, so that a storm of the same delivery does not reach Temporal again and again. */
export class Recent {
  private readonly until = new Map<string, number>();
  private readonly ms: number;
  private readonly size: number;

  constructor(ms: number, size = 20_000) {
    this.ms = ms;
    this.size = size;
  }

  has(key: string): boolean {
    const until = this.until.get(key);
    return until !== undefined && until > performance.now();
  }

  add(key: string): void {
    if (this.ms <= 0) return;
    if (this.until.size >= this.size) for (const old of [...this.until.keys()].slice(0, this.size / 4)) this.until.delete(old);
    this.until.delete(key);
    this.until.set(key, performance.now() + this.ms);
  }
}
