import { type ErrorCode, isResurgoError, ResurgoError } from '../../domain/errors.ts';

export interface S3Failure {
  readonly code: ErrorCode;
  /** The store's own word: `NoSuchBucket`, `SlowDown`, `ECONNRESET` … */
  readonly word: string;
  readonly status: number | undefined;
  /** Worth another try at once. */
  readonly retry: boolean;
  /** The request may have taken effect although it failed. */
  readonly ambiguous: boolean;
  readonly retryAfterMs: number | undefined;
  readonly message: string;
}

type Rule = readonly [code: ErrorCode, retry: boolean];

const denied: Rule = ['repositoryDenied', false];
const throttled: Rule = ['repositoryThrottled', true];
const unreachable: Rule = ['repositoryUnreachable', true];

const words: Readonly<Record<string, Rule>> = {
  NoSuchKey: ['objectMissing', false],
  NotFound: ['objectMissing', false],
  NoSuchVersion: ['objectMissing', false],
  NoSuchBucket: ['repositoryUnreachable', false],
  AccessDenied: denied,
  Forbidden: denied,
  InvalidAccessKeyId: denied,
  SignatureDoesNotMatch: denied,
  ExpiredToken: denied,
  InvalidToken: denied,
  TokenRefreshRequired: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  NotSignedUp: denied,
  UnauthorizedAccess: denied,
  InvalidSecurity: denied,
  MethodNotAllowed: denied,
  // The SDK has learned the difference of the clocks by then.
  RequestTimeTooSkewed: ['repositoryDenied', true],
  PermanentRedirect: denied,
  AuthorizationHeaderMalformed: denied,
  CredentialsProviderError: denied,
  SlowDown: throttled,
  Throttling: throttled,
  ThrottlingException: throttled,
  RequestLimitExceeded: throttled,
  TooManyRequests: throttled,
  BandwidthLimitExceeded: throttled,
  SlowDownRead: throttled,
  SlowDownWrite: throttled,
  PreconditionFailed: ['objectExists', false],
  ConditionalRequestConflict: ['objectExists', true],
  InternalError: unreachable,
  ServiceUnavailable: unreachable,
  RequestTimeout: unreachable,
  TimeoutError: unreachable,
  OperationAborted: unreachable,
  IncompleteBody: unreachable,
  // Damaged on its way: the store compared it with our checksum.
  BadDigest: unreachable,
  XAmzContentSHA256Mismatch: unreachable,
  XAmzContentChecksumMismatch: unreachable,
  InvalidDigest: unreachable,
  QuotaExceeded: ['repositoryFull', false],
  XMinioStorageFull: ['repositoryFull', false],
  InsufficientStorage: ['repositoryFull', false],
  EntityTooLarge: ['unsupported', false],
  InvalidObjectState: ['unsupported', false],
  NotImplemented: ['unsupported', false],
  InvalidBucketName: ['configInvalid', false],
  KeyTooLongError: ['inputInvalid', false],
  ENOTFOUND: unreachable,
  EAI_AGAIN: unreachable,
  ECONNREFUSED: unreachable,
  ECONNRESET: unreachable,
  EPIPE: unreachable,
  ETIMEDOUT: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
};

const statuses: Readonly<Record<number, Rule>> = {
  301: denied,
  307: unreachable,
  401: denied,
  403: denied,
  404: ['objectMissing', false],
  408: unreachable,
  409: ['objectExists', true],
  412: ['objectExists', false],
  429: throttled,
  500: unreachable,
  501: ['unsupported', false],
  502: unreachable,
  503: throttled,
  504: unreachable,
  507: ['repositoryFull', false],
};

interface SdkError {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly Code?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
}

/** What an error of the SDK (or of the network below it) means. */
export function classifyS3(error: unknown): S3Failure {
  const e = (typeof error === 'object' && error !== null ? error : {}) as SdkError;
  const status = e.$metadata?.httpStatusCode ?? e.$response?.statusCode;
  const candidates = [e.name, e.Code, e.code].filter((word): word is string => typeof word === 'string');
  const known = candidates.find((word) => Object.hasOwn(words, word));
  const [code, retry] =
    (known === undefined ? undefined : words[known]) ??
    (status === undefined ? undefined : statuses[status]) ??
    fallback(status, candidates);
  const word =
    known ?? candidates.find((w) => w !== 'Error') ?? (status === undefined ? 'error' : `HTTP ${String(status)}`);
  // Refused before it was looked at: connection never made, or an answer that says "not done".
  const ambiguous =
    retry && !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(word) && code !== 'repositoryThrottled';
  return {
    code,
    word,
    status,
    retry,
    ambiguous,
    retryAfterMs: retryAfter(e.$response?.headers),
    message: typeof e.message === 'string' ? e.message : String(error),
  };
}

function fallback(status: number | undefined, candidates: readonly string[]): Rule {
  if (status !== undefined && status >= 500) return unreachable;
  if (status !== undefined && status >= 400) return ['repositoryDenied', false];
  // A certificate does not get better by itself within seconds.
  if (
    candidates.some(
      (word) =>
        word.includes('CERT') ||
        word.startsWith('ERR_TLS') ||
        word.startsWith('ERR_SSL') ||
        word.startsWith('SELF_SIGNED'),
    )
  )
    return ['repositoryUnreachable', false];
  return unreachable;
}

function retryAfter(headers: Readonly<Record<string, string>> | undefined): number | undefined {
  const value = headers?.['retry-after'];
  const seconds = value === undefined ? Number.NaN : Number(value);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

/** The error of a request that is not tried again. @param what what happened to what, without a full stop */
export function s3Error(error: unknown, what: string, attempts: number): ResurgoError {
  if (isResurgoError(error)) return error;
  const failure = classifyS3(error);
  const tries = attempts > 1 ? ` after ${String(attempts)} attempts` : '';
  const status = failure.status === undefined ? '' : `, HTTP ${String(failure.status)}`;
  const detail =
    failure.message === '' || failure.message === failure.word || failure.message === 'UnknownError'
      ? ''
      : `: ${failure.message.slice(0, 300)}`;
  const hint = hints[failure.word];
  return new ResurgoError(failure.code, `${what} failed${tries}: ${failure.word}${status}${detail}`, {
    cause: error,
    details: {
      ...(failure.code === 'repositoryThrottled' ? { retryAfterMs: failure.retryAfterMs ?? 5000 } : {}),
      ...(hint === undefined ? {} : { hint }),
    },
  });
}

const hints: Readonly<Record<string, string>> = {
  NoSuchBucket: 'Create the bucket, or mend `bucket`, `region` and `endpoint`.',
  RequestTimeTooSkewed: 'Set the clock of this host.',
  PermanentRedirect: "Set `region` to the bucket's region.",
  AuthorizationHeaderMalformed: "Set `region` to the bucket's region.",
  ExpiredToken: 'Renew the temporary credentials.',
  InvalidObjectState: 'The object lies in an archive class: restore it there first.',
};
