/** Runs as traces, in the words of OpenTelemetry. */

export type SpanStatus = 'unset' | 'ok' | 'error';
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanEvent {
  readonly name: string;
  /** Nanoseconds since the epoch. */
  readonly at: bigint;
  readonly attributes: SpanAttributes;
}

export interface Span {
  /** 32 hexadecimal digits, the same for a run and all its children. */
  readonly traceId: string;
  /** 16 hexadecimal digits. The same run makes the same ones again, so a span that is sent twice is one. */
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: SpanAttributes;
  readonly events: readonly SpanEvent[];
  readonly status: SpanStatus;
  /** What went wrong. */
  readonly message?: string;
}

/** A run that has ended. */
export interface ClosedRun {
  readonly workflowId: string;
  readonly runId: string;
  /** ms since the epoch */
  readonly closedAt: number;
}

/** How far traces have been sent. */
export interface TraceMark {
  /** ms since the epoch: what closed before is sent. */
  readonly since: number;
  /** Runs that closed shortly before or after it and are sent: Temporal lists runs late, and not in order. */
  readonly sent: readonly string[];
}
