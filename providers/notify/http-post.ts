/** One POST to a service that takes messages. URLs are secrets here: no error shows more than the host. */
import { ResurgoError } from '../../domain/errors.ts';

export interface PostRequest {
  /** What it is for, for errors: `channel slack`. */
  readonly what: string;
  readonly url: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : 'an address that is no URL');

/** Seconds or a date, as RFC 9110 allows; at most an hour is believed. */
export function retryAfterMs(value: string | null, now: number): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 1000), 3_600_000) : undefined;
}

/** @throws channelUnreachable, channelThrottled, channelRefused */
export async function post(request: PostRequest): Promise<{ readonly status: number; readonly text: string }> {
  const { what, url, body, headers, timeoutMs, signal } = request;
  const host = hostOf(url);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'user-agent': 'resurgo', ...headers },
      // A redirect could lead the message, and what authenticates it, to somebody else.
      redirect: 'manual',
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])]),
    });
    text = (await response.text()).slice(0, 300);
  } catch (error) {
    signal?.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : error instanceof Error ? error.message : String(error);
    throw new ResurgoError('channelUnreachable', `${what}: ${host} did not take the message: ${cause}`);
  }
  if (response.ok) return { status: response.status, text };
  const said = `${what}: ${host} answered ${String(response.status)}${text.trim() === '' ? '' : ` (${text.trim().replaceAll(/\s+/g, ' ')})`}`;
  if (response.status === 429 || (response.status === 503 && response.headers.has('retry-after'))) {
    throw new ResurgoError('channelThrottled', said, { details: { retryAfterMs: retryAfterMs(response.headers.get('retry-after'), Date.now()) ?? 30_000 } });
  }
  throw new ResurgoError(response.status >= 500 || response.status === 408 ? 'channelUnreachable' : 'channelRefused', said, { details: { status: response.status } });
}
