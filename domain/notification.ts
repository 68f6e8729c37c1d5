/** What people are told, and when. JSON-safe, without secrets: it passes through workflow histories. */
import type { Severity } from './severity.ts';

export const notifyEvents = [
  'detected', 'joined', 'started', 'approval', 'completed', 'failed', 'escalated', 'acknowledged', 'resolved', 'handover', 'ticket', 'monitor', 'replication', 'plan', 'test',
] as const;
export type NotifyEvent = (typeof notifyEvents)[number];

/** Sent only to channels that name them in `events`. */
export const onlyWhenNamed: readonly NotifyEvent[] = ['ticket', 'joined'];

export interface Notification {
  readonly event: NotifyEvent;
  /** Further events of the same moment: told in the same message. */
  readonly also?: readonly NotifyEvent[];
  readonly severity: Severity;
  readonly subject: string;
  /** Plain text; channels that show HTML make theirs from it and the facts. */
  readonly text: string;
  /** In place of the HTML made from `text` and `facts`. */
  readonly html?: string;
  /** The same for every attempt to say the same thing; at most 255 characters. */
  readonly dedupeKey: string;
  /** What it is about, the same for all messages of one incident: PagerDuty's `dedup_key`, the thread of the mails. Default `dedupeKey`. */
  readonly group?: string;
  readonly facts: Readonly<Record<string, string>>;
  /** Names of channels that get it whatever their `minSeverity` and `events` say (escalation levels). */
  readonly to?: readonly string[];
  /** With `to`: nobody else gets it. */
  readonly only?: boolean;
}

export interface NotificationOutcome {
  readonly channel: string;
  readonly status: 'sent' | 'failed';
  readonly detail: string;
}

/** A channel's own wishes. */
export interface ChannelRoute {
  readonly name: string;
  readonly minSeverity?: Severity;
  readonly events?: readonly NotifyEvent[];
}

const rank: Readonly<Record<Severity, number>> = { low: 0, medium: 1, high: 2, critical: 3 };

/** Which channels get a message: those it names, and those whose severity and events fit. */
export function routesOf(notification: Notification, channels: readonly ChannelRoute[]): string[] {
  const events = [notification.event, ...(notification.also ?? [])];
  const fits = ({ minSeverity, events: wanted }: ChannelRoute): boolean =>
    rank[notification.severity] >= rank[minSeverity ?? 'low'] &&
    events.some((event) => (wanted === undefined ? !onlyWhenNamed.includes(event) : wanted.includes(event)));
  return channels.filter((channel) => notification.to?.includes(channel.name) === true || (notification.only !== true && fits(channel))).map((channel) => channel.name);
}

/** One line for people, and who was told. */
export function outcomeOfTelling(outcomes: readonly NotificationOutcome[]): { readonly summary: string; readonly output: { readonly told: readonly string[]; readonly failed: readonly string[] } } {
  const told = outcomes.filter(({ status }) => status === 'sent').map(({ channel }) => channel);
  const failed = outcomes.filter(({ status }) => status === 'failed');
  const parts = [...(told.length === 0 ? [] : [`told ${told.join(', ')}`]), ...failed.map(({ channel, detail }) => `${channel} could not be told: ${detail}`)];
  return { summary: parts.join('; ') || 'nobody was told: no channel is for it', output: { told, failed: failed.map(({ channel }) => channel) } };
}
