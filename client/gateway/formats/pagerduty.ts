/** PagerDuty V3 webhooks: one event per request. */
import { severityOf, type RawAlert } from '../../../domain/alert.ts';
import type { Severity } from '../../../domain/severity.ts';
import { Problem } from '../problem.ts';
import type { Delivery, ReadAlerts } from './format.ts';
import { at, isObject, labelsOf, textAt, textOf, timeAt } from './read.ts';

/** What our own PagerDuty channel calls its alerts: they come back as webhooks, and are no news. */
export const ownKeyPrefix = 'resurgo/';

const firing: readonly string[] = ['incident.triggered', 'incident.reopened'];

export function readPagerDuty(delivery: Delivery): ReadAlerts {
  const event = at(delivery.payload, 'event');
  if (!isObject(event)) throw new Problem(422, 'the body has no "event": is it a PagerDuty V3 webhook?');
  const type = textAt(event, 'event_type') ?? '';
  const data = event['data'];
  if (!firing.includes(type) && type !== 'incident.resolved') return { alerts: [], ignored: `event ${type} changes nothing` };
  // The event's own id stands in the signed body; the header that repeats it does not.
  const id = textAt(event, 'id', 200);
  const incident = textAt(data, 'id', 200);
  if (id === undefined || incident === undefined) throw new Problem(422, 'the event has no id');
  if (textAt(data, 'incident_key')?.startsWith(ownKeyPrefix) === true) return { alerts: [], ignored: 'our own message came back' };
  const service = textOf(at(data, 'service.summary'), 200);
  const title = textAt(data, 'title') ?? incident;
  const link = textAt(data, 'html_url');
  const severity = urgency(data);
  const alert: RawAlert = {
    key: id,
    identity: incident,
    status: type === 'incident.resolved' ? 'resolved' : 'firing',
    name: title.slice(0, 200),
    description: title,
    labels: labelsOf({ ...flat(data), event_type: type }, delivery.wanted),
    // Reopened is new: its end that was told before is not its end.
    startsAt: type === 'incident.reopened' ? timeAt(event, 'occurred_at') : (timeAt(data, 'created_at') ?? timeAt(event, 'occurred_at')),
    ...(severity === undefined ? {} : { severity }),
    ...(service === undefined ? {} : { service }),
    conditions: [],
    tracks: true,
    ...(link === undefined ? {} : { link }),
  };
  return { alerts: [alert] };
}

const urgency = (data: unknown): Severity | undefined => severityOf(textOf(at(data, 'priority.summary'), 20)) ?? severityOf(textAt(data, 'urgency', 20));

const flat = (data: unknown): Record<string, unknown> => ({
  number: at(data, 'number'), incident_key: at(data, 'incident_key'), urgency: at(data, 'urgency'), priority: at(data, 'priority.summary'),
  service: at(data, 'service.summary'), escalation_policy: at(data, 'escalation_policy.summary'), title: at(data, 'title'),
});
