/** What services ask of their callers, kept by this process: Slack takes about one message a second, PagerDuty 120 a minute per key. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel } from './channel.ts';

const gapMs: Readonly<Record<Channel['kind'], number>> = { slack: 1000, pagerduty: 500, smtp: 100, webhook: 0 };
const nextAt = new Map<string, number>();

/** Waits for this channel's turn. */
export async function paced(channel: Channel, signal?: AbortSignal): Promise<void> {
  const key = `${channel.kind}/${channel.name}`;
  const now = Date.now();
  const turn = Math.max(now, nextAt.get(key) ?? 0);
  nextAt.set(key, turn + gapMs[channel.kind]);
  if (turn > now) await sleep(turn - now, undefined, signal === undefined ? {} : { signal });
}
