import { ResurgoError } from '../../domain/errors.ts';
import type { ErrorCode } from '../../domain/errors.ts';

interface Named {
  readonly redacted: string;
}

const network = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EACCES',
]);
const certificate = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME|ERR_TLS|ERR_SSL/;

/** `allow_connections false`, which has no SQLSTATE of its own. In the server's words, as a tool passes them on too. */
export const isClosed = (message: string): boolean => /is not currently accepting connections/.test(message);
/** Bytes that are no text of the encoding they are said to have: no attempt will read them. */
export const isNoText = (message: string): boolean =>
  /invalid byte sequence for encoding|has no equivalent in encoding/.test(message);
/** A pooler that takes no startup `options`: without them names in our queries would mean what the owner of the database wants them to. */
const isPooler = (message: string): boolean => /unsupported startup parameter/.test(message);
export const poolerHint =
  'Connect to the server itself, not through a pooler: sessions of Resurgo set their search_path and limits by `options` at their start.';
export const closedHint = 'Let connections in: ALTER DATABASE … WITH ALLOW_CONNECTIONS true.';
export const noTextHint =
  'Rename or mend what the message names (its bytes are no text in the encoding it should have), or back the server up physically, which takes every byte as it is.';

/** SQLSTATE or Node error code → our code. */
function classify(code: string, message: string): ErrorCode | undefined {
  if (network.has(code) || /Connection terminated|timeout expired|connection was closed/i.test(message))
    return 'sourceUnreachable';
  if (isPooler(message)) return 'sourceDenied';
  if (/^08|^57P0|^53300$/.test(code)) return 'sourceUnreachable';
  if (/^28|^42501$/.test(code) || /password must be a string|SASL/i.test(message)) return 'sourceDenied';
  if (certificate.test(code) || /does not support SSL|establishing an SSL/.test(message)) return 'sourceDenied';
  // A missing database will not appear by waiting.
  if (code === '3D000' || isClosed(message)) return 'sourceDenied';
  if (code === '53100') return 'destinationSpace';
  if (code === '57014') return 'cancelled';
  return undefined;
}

const hints: Partial<Record<string, string>> = {
  '3D000': 'Create the database or correct its name in the connection.',
  '53300': 'The server has no free connection; raise max_connections or max_wal_senders, or wait.',
  '53100': 'The disk of the database server is full; free space there.',
  '57P03': 'The server is starting up, shutting down or recovering; it is tried again.',
};

/**
 * Turns what the driver threw into a ResurgoError that names the server and says the server's own words.
 * @param what what was being done, for example `reading the facts of the server`
 * @param fallback code for what is not recognised; default `dumpFailed`
 */
export function mapPostgresError(
  error: unknown,
  what: string,
  connection?: Named,
  fallback: ErrorCode = 'dumpFailed',
): ResurgoError {
  if (error instanceof ResurgoError) return error;
  const raw = error as {
    code?: unknown;
    message?: unknown;
    detail?: unknown;
    hint?: unknown;
    name?: unknown;
    errors?: unknown;
  };
  // `connect` to a name with several addresses fails with an AggregateError that has an empty message.
  const inner = Array.isArray(raw.errors) ? (raw.errors[0] as { message?: unknown } | undefined) : undefined;
  const code = typeof raw.code === 'string' ? raw.code : '';
  const message = String(raw.message || inner?.message || error);
  const at = connection ? ` (${connection.redacted})` : '';
  if (raw.name === 'AbortError')
    return new ResurgoError('cancelled', `Cancelled while ${what}${at}.`, { cause: error });
  const detail = typeof raw.detail === 'string' && raw.detail ? ` ${raw.detail}` : '';
  const serverHint = typeof raw.hint === 'string' && raw.hint ? raw.hint : undefined;
  const noText = fallback === 'dumpFailed' && isNoText(message);
  const hint = hints[code] ?? (isPooler(message) ? poolerHint : isClosed(message) ? closedHint : noText ? noTextHint : serverHint);
  return new ResurgoError(
    classify(code, message) ?? (noText ? 'sourceUnsupported' : fallback),
    `Failed while ${what}${at}: ${message}.${detail}`.replace(/\.\.$/, '.'),
    {
      cause: error,
      details: { ...(code ? { sqlState: code } : {}), ...(hint === undefined ? {} : { hint }) },
    },
  );
}
