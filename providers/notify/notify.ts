import type { Notification, NotificationOutcome } from '../../domain/notification.ts';
import type { Channel } from './channel.ts';
import { post } from './http-post.ts';
import { paced } from './pace.ts';
import { sendPagerDuty } from './pagerduty.ts';
import { slackBody } from './render.ts';
import { sendMail } from './smtp.ts';
import { sendWebhook } from './webhook.ts';

/** Says it once, on one channel. @returns what the other side answered. @throws channelUnreachable, channelThrottled, channelRefused */
export async function send(channel: Channel, notification: Notification, signal?: AbortSignal): Promise<string> {
  await paced(channel, signal);
  switch (channel.kind) {
    case 'slack': {
      const { status } = await post({ what: `channel ${channel.name}`, url: channel.url, body: slackBody(notification), timeoutMs: channel.timeoutMs, signal });
      return `Slack answered ${String(status)}`;
    }
    case 'smtp':
      return sendMail(channel, notification);
    case 'pagerduty':
      return sendPagerDuty(channel, notification, signal);
    case 'webhook':
      return sendWebhook(channel, notification, signal);
  }
}

/** Tries every channel once, side by side. Never throws: what could not be said is in the outcomes. */
export async function notify(channels: readonly Channel[], notification: Notification, signal?: AbortSignal): Promise<NotificationOutcome[]> {
  return Promise.all(
    channels.map(async (channel): Promise<NotificationOutcome> => {
      try {
        return { channel: channel.name, status: 'sent', detail: await send(channel, notification, signal) };
      } catch (error) {
        return { channel: channel.name, status: 'failed', detail: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}
