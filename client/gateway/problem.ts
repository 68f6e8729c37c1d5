/** An answer other than 2xx. 4xx says that the same request will never be right: senders drop it. Everything that may pass later is 5xx. */
export class Problem extends Error {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;

  constructor(status: number, message: string, retryAfterSeconds?: number) {
    super(message);
    this.name = 'Problem';
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
