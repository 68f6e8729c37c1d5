import { hostname } from 'node:os';
import type { Notification } from '../domain/notification.ts';

/** What `resurgo notify test` sends. PagerDuty gets it as an alert that is resolved at once, so that nobody is called out. */
export const testMessage = (now: Date): Notification => ({
  event: 'test',
  also: ['resolved'],
  severity: 'low',
  subject: `Resurgo test message from ${hostname()}`,
  text: 'This is a test. Nothing has happened.\nIncidents and recoveries will be told here.',
  dedupeKey: `test-${hostname()}-${String(now.getTime())}`,
  facts: { host: hostname(), sent: now.toISOString() },
});
