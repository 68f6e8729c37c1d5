/** Pings of a dead-man switch, in the way of healthchecks.io: the address is a secret, silence is the alert. */
import { createHash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';

export type PingEvent = 'start' | 'success' | 'fail';

export interface Ping {
  readonly name: string;
  readonly url: string;
  readonly style: 'healthchecks' | 'plain';
  readonly event: PingEvent;
  /** Shown by the service beside the ping. */
  readonly text: string;
  /** Ties the begin and the end of one run together. */
  readonly run?: string | undefined;
  readonly timeoutMs: number;
}

/** Such services take no more. */
const mostText = 10_000;

/** Some services take only UUIDs; the same run has the same. */
function runId(run: string): string {
  const hex = createHash('sha256').update(run).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function addressOf({ url, style, event, run }: Ping): URL {
  const address = new URL(url);
  if (style === 'plain') return address;
  if (event !== 'success') address.pathname = `${address.pathname.replace(/\/$/, '')}/${event}`;
  if (run !== undefined) address.searchParams.set('rid', runId(run));
  return address;
}

/** @returns whether there was anything to say: a plain address hears of success alone. @throws channelUnreachable, channelRefused */
export async function sendPing(ping: Ping): Promise<boolean> {
  if (ping.style === 'plain' && ping.event !== 'success') return false;
  const address = addressOf(ping);
  const { name, timeoutMs, style, text } = ping;
  let status: number;
  try {
    const response = await fetch(address, {
      ...(style === 'plain' ? { method: 'GET' } : { method: 'POST', body: text.slice(0, mostText) }),
      headers: { 'user-agent': 'resurgo', ...(style === 'plain' ? {} : { 'content-type': 'text/plain; charset=utf-8' }) },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    status = response.status;
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : error instanceof Error ? error.message : String(error);
    throw new ResurgoError('channelUnreachable', `dead-man ping ${name}: ${address.host} did not take it: ${cause}`);
  }
  if (status >= 200 && status < 300) return true;
  throw new ResurgoError(status >= 500 || status === 429 || status === 408 ? 'channelUnreachable' : 'channelRefused', `dead-man ping ${name}: ${address.host} answered ${String(status)}`);
}
