import { createHmac } from 'node:crypto';
import type { Notification } from '../../domain/notification.ts';
import type { WebhookChannel } from './channel.ts';
import { post } from './http-post.ts';

/** `t=<unix seconds>,v1=<hex>` over `"<t>.<body>"`: what receivers check, and can refuse when it is old. */
export function signatureOf(body: string, secret: string, seconds: number): string {
  return `t=${String(seconds)},v1=${createHmac('sha256', secret).update(`${String(seconds)}.${body}`).digest('hex')}`;
}

export async function sendWebhook(channel: WebhookChannel, notification: Notification, signal?: AbortSignal): Promise<string> {
  const { to: _, only: __, html: ___, ...content } = notification;
  const body = JSON.stringify({ schemaVersion: 1, source: 'resurgo', ...content });
  const { status } = await post({
    what: `channel ${channel.name}`,
    url: channel.url,
    body,
    timeoutMs: channel.timeoutMs,
    signal,
    headers: {
      'idempotency-key': notification.dedupeKey,
      ...(channel.token === undefined ? {} : { authorization: `Bearer ${channel.token}` }),
      ...(channel.hmac === undefined ? {} : { 'x-resurgo-signature': signatureOf(body, channel.hmac, Math.floor(Date.now() / 1000)) }),
    },
  });
  return `answered ${String(status)}`;
}
