/** What one run of one contestant cost. */
export interface Sample {
  /** In the unit of its measure: seconds, milliseconds, MB … */
  readonly value: number;
  /** Bytes left in the repository, where that means something. */
  readonly storedBytes?: number;
}

/** One line of the result; see docs/benchmarks.md for the names. */
export interface Measure {
  readonly name: string;
  readonly what: string;
  readonly unit: string;
  readonly ours: readonly number[];
  readonly peer: readonly number[];
  readonly peerName: string | null;
  /** Ours ÷ peer of the medians, lower is better; null without a peer. */
  readonly ratio: number | null;
  /** Highest ratio that passes; without a peer the highest median in `unit`; null where nothing is promised. */
  readonly bar: number | null;
  readonly passed: boolean | null;
  /** Why there is no peer or no result. */
  readonly reason?: string;
  readonly stored?: { readonly ours: number; readonly peer: number | null };
  readonly note?: string;
}

export interface BenchOptions {
  /** Empty: all. */
  readonly only: readonly string[];
  readonly rounds: number;
  /** Of the database, MB. */
  readonly size: number;
  readonly json: boolean;
}
