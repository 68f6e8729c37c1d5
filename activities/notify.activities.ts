import { channelRoutes, resolveChannel } from '../config/channels.ts';
import { routesOf, type Notification, type NotificationOutcome } from '../domain/notification.ts';
import { send } from '../providers/notify/notify.ts';
import type { ActivityDeps } from './deps.ts';
import { currentContext } from './failure-mapping.ts';

export function notifyActivities(deps: ActivityDeps) {
  return {
    /** Effect: none. Names of the channels a message goes to. */
    async routeNotification(notification: Notification): Promise<string[]> {
      return routesOf(notification, channelRoutes(deps.loaded.config));
    },

    /**
     * Effect: one message on one channel. Idempotency: mail (message id), PagerDuty (`dedup_key`) and webhooks (`Idempotency-Key`) recognise a
     * second attempt; Slack does not, so a worker that dies between sending and saying so sends twice there.
     * Failure: channelUnreachable, channelThrottled (tried again after what the service asked for), channelRefused.
     */
    async sendNotification({ channel, notification }: { channel: string; notification: Notification }): Promise<NotificationOutcome> {
      const detail = await send(resolveChannel(deps.loaded.config, channel), notification, currentContext()?.cancellationSignal);
      return { channel, status: 'sent', detail };
    },
  };
}
