/** PagerDuty Events API v2: one alert per incident, triggered, acknowledged and resolved by the same `dedup_key`. */
import type { Notification } from '../../domain/notification.ts';
import type { Severity } from '../../domain/severity.ts';
import type { PagerDutyChannel } from './channel.ts';
import { post } from './http-post.ts';
import { oneLine } from './render.ts';

const words: Readonly<Record<Severity, string>> = { critical: 'critical', high: 'error', medium: 'warning', low: 'info' };

export function pagerDutyEvent(notification: Notification, routingKey: string): object {
  const events = [notification.event, ...(notification.also ?? [])];
  const action = events.includes('resolved') ? 'resolve' : events.includes('acknowledged') ? 'acknowledge' : 'trigger';
  const shared = { routing_key: routingKey, event_action: action, dedup_key: (notification.group ?? notification.dedupeKey).slice(0, 255) };
  if (action !== 'trigger') return shared;
  return {
    ...shared,
    client: 'Resurgo',
    payload: {
      summary: oneLine(notification.subject, 1024),
      source: notification.facts['service'] ?? notification.facts['target'] ?? 'resurgo',
      severity: words[notification.severity],
      custom_details: { text: notification.text.slice(0, 8000), ...notification.facts },
    },
  };
}

export async function sendPagerDuty(channel: PagerDutyChannel, notification: Notification, signal?: AbortSignal): Promise<string> {
  const { status } = await post({ what: `channel ${channel.name}`, url: channel.endpoint, body: JSON.stringify(pagerDutyEvent(notification, channel.routingKey)), timeoutMs: channel.timeoutMs, signal });
  return `PagerDuty answered ${String(status)}`;
}
