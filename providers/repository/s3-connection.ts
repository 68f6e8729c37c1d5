import type { S3Client } from '@aws-sdk/client-s3';
import { isIP } from 'node:net';
import { ResurgoError } from '../../domain/errors.ts';
import { cancelled, sleep, throwIfAborted } from './abort.ts';
import { Gate } from './gate.ts';
import type { S3Settings } from './open-store.ts';
import { classifyS3, s3Error } from './s3-errors.ts';

export type Sdk = typeof import('@aws-sdk/client-s3');

/** How hard and how long a request is tried. */
export interface S3Tuning {
  /** Tries of one request, the first included. Default 6. */
  readonly attempts?: number;
  /** First pause between tries; doubles, with full jitter. Milliseconds, default 200. */
  readonly backoffMs?: number;
  /** Longest pause. Milliseconds, default 10,000. */
  readonly backoffCapMs?: number;
  /** Milliseconds, default 10,000. */
  readonly connectionTimeoutMs?: number;
  /** A connection on which nothing moves for so long is given up. Milliseconds, default 60,000. */
  readonly idleTimeoutMs?: number;
  /** Requests (and so sockets) at once. Default 16. */
  readonly maxSockets?: number;
  /** Size of the parts of a multipart upload. Bytes, default 16 MiB, at least 5 MiB. */
  readonly partBytes?: number;
  /** Keys per page of a listing. Default: the store's (1000 with most). */
  readonly pageKeys?: number;
}

export interface Attempt {
  /** From 1. */
  readonly number: number;
  /** An earlier attempt failed in a way that leaves open whether it took effect. */
  readonly mayHaveHappened: boolean;
}

/** An outcome that the caller of {@link S3Connection.call} handles itself: neither tried again nor translated. */
export class Settled extends Error {}

/** One client with our own retries: the SDK's do not tell whether an earlier try may have taken effect. */
export class S3Connection {
  readonly name: string;
  readonly bucket: string;
  /** Empty, or ends with `/`. */
  readonly prefix: string;
  readonly settings: S3Settings;
  readonly tuning: S3Tuning;
  readonly sdk: Sdk;
  readonly client: S3Client;
  readonly #gate: Gate;
  #answered = false;

  constructor(name: string, settings: S3Settings, tuning: S3Tuning, sdk: Sdk) {
    this.name = name;
    this.bucket = settings.bucket;
    const prefix = settings.prefix ?? '';
    this.prefix = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
    this.settings = settings;
    this.tuning = tuning;
    this.sdk = sdk;
    const maxSockets = tuning.maxSockets ?? 16;
    // Requests wait here and not in the agent, where the wait would count as connection timeout.
    this.#gate = new Gate(maxSockets);
    const agent = { keepAlive: true, maxSockets };
    this.client = new sdk.S3Client({
      // The SDK's own chain, except that a missing region is no error: most compatible stores have none.
      region: settings.region ?? process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'] ?? 'us-east-1',
      ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint }),
      forcePathStyle: settings.forcePathStyle ?? needsPathStyle(settings.endpoint),
      ...credentials(name, settings),
      maxAttempts: 1,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      expectContinueHeader: false,
      requestHandler: {
        connectionTimeout: tuning.connectionTimeoutMs ?? 10_000,
        socketTimeout: tuning.idleTimeoutMs ?? 60_000,
        httpAgent: agent,
        httpsAgent: agent,
      },
    });
  }

  /** The object's key in the bucket. */
  full(key: string): string {
    return this.prefix + key;
  }

  /** A place in words, for messages. */
  get place(): string {
    return `repository ${this.name} (s3://${this.bucket}/${this.prefix}${this.settings.endpoint === undefined ? '' : ` at ${this.settings.endpoint}`})`;
  }

  /** Whether the bucket has answered with success before: a 404 to a HEAD says not whether object or bucket is missing. */
  get answered(): boolean {
    return this.#answered;
  }

  /**
   * Runs one request, and again while its failure is worth it.
   * @throws repositoryUnreachable, repositoryThrottled, repositoryDenied, repositoryFull, objectMissing, objectExists, unsupported, cancelled
   */
  async call<T>(what: string, signal: AbortSignal | undefined, run: (attempt: Attempt) => Promise<T>): Promise<T> {
    const attempts = this.tuning.attempts ?? 6;
    let mayHaveHappened = false;
    for (let number = 1; ; number++) {
      throwIfAborted(signal, what);
      try {
        const result = await this.#gate.run(async () => run({ number, mayHaveHappened }));
        this.#answered = true;
        return result;
      } catch (error) {
        if (signal?.aborted === true) throw cancelled(what, signal.reason);
        if (error instanceof Settled) throw error;
        const failure = classifyS3(error);
        if (error instanceof ResurgoError || !failure.retry || number >= attempts)
          throw s3Error(error, `${what} in ${this.place}`, number);
        mayHaveHappened ||= failure.ambiguous;
        await sleep(this.#pause(number, failure.retryAfterMs), signal, what);
      }
    }
  }

  #pause(attempt: number, retryAfterMs: number | undefined): number {
    const cap = this.tuning.backoffCapMs ?? 10_000;
    const limit = Math.min(cap, (this.tuning.backoffMs ?? 200) * 2 ** (attempt - 1));
    // Never at once, never all together.
    const jittered = limit / 2 + (Math.random() * limit) / 2;
    return Math.max(jittered, Math.min(retryAfterMs ?? 0, 60_000));
  }

  close(): void {
    this.client.destroy();
  }
}

/** Addresses without names cannot carry the bucket in the host name. */
function needsPathStyle(endpoint: string | undefined): boolean {
  if (endpoint === undefined || !URL.canParse(endpoint)) return false;
  const { hostname } = new URL(endpoint);
  return hostname === 'localhost' || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
}

function credentials(
  name: string,
  settings: S3Settings,
): { credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } } {
  const { accessKeyId, secretAccessKey, sessionToken } = settings;
  if (accessKeyId === undefined && secretAccessKey === undefined) return {};
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new ResurgoError('configInvalid', `Repository ${name} needs accessKeyId and secretAccessKey, or neither.`);
  return { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } };
}

/** Options of one SDK call. */
export const withSignal = (signal: AbortSignal | undefined): { abortSignal?: AbortSignal } =>
  signal === undefined ? {} : { abortSignal: signal };
