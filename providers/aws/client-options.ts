/** How we talk to AWS: the default credential chain, an endpoint of one's own where there is one, and patience with jitter. */
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';

export interface AwsPlace {
  readonly region: string;
  /** An emulator or a private endpoint. */
  readonly endpoint?: string | undefined;
}

/** The SDK's `standard` mode: exponential backoff with full jitter, throttling and transient errors only. */
export const clientOptions = ({ region, endpoint }: AwsPlace): { region: string; endpoint?: string; maxAttempts: number; retryMode: 'standard' } => ({
  region, maxAttempts: 8, retryMode: 'standard', ...(endpoint === undefined ? {} : { endpoint }),
});

/** How a call of the SDK is told to stop. */
export const abortable = (signal: AbortSignal | undefined): { abortSignal?: AbortSignal } => (signal === undefined ? {} : { abortSignal: signal });

interface AwsError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
  readonly $retryable?: { readonly throttling?: boolean };
}

const throttling = /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|BandwidthLimitExceeded|LimitExceededException/i;
const denied = /AccessDenied|UnauthorizedOperation|InvalidClientTokenId|SignatureDoesNotMatch|ExpiredToken|UnrecognizedClient|CredentialsProviderError|NotAuthorized|OptInRequired/i;
/** Whole words: `DBInstanceNotFound` is no `ENOTFOUND`. */
const network = /^(ECONN\w*|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|EPIPE|TimeoutError|NetworkingError)$/;

/** What AWS answered, as our one error class. @param what what was being done, to what */
export function mapAwsError(error: unknown, what: string, fallback: 'awsFailed' | 'awsUnavailable' = 'awsFailed'): ResurgoError {
  if (isResurgoError(error)) return error;
  const { name = '', message = String(error), code = '', $metadata, $retryable } = error as AwsError;
  if (name === 'AbortError') return new ResurgoError('cancelled', `Cancelled while ${what}.`, { cause: error });
  const status = $metadata?.httpStatusCode ?? 0;
  const details = { awsError: name, ...($metadata?.requestId === undefined ? {} : { requestId: $metadata.requestId }) };
  const kind = throttling.test(name) || $retryable?.throttling === true || status === 429 ? 'awsThrottled' : denied.test(name) || status === 401 || status === 403 ? 'awsDenied' : network.test(name) || network.test(code) || status >= 500 ? 'awsUnavailable' : fallback;
  return new ResurgoError(kind, `AWS refused ${what}: ${name === '' || message.startsWith(name) ? '' : `${name}: `}${message}`, { cause: error, details });
}

export const isAwsError = (error: unknown, ...names: readonly string[]): boolean => names.includes((error as AwsError | undefined)?.name ?? '');
