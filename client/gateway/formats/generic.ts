/** Any JSON, by a mapping of fields. */
import { severityOf, type RawAlert } from '../../../domain/alert.ts';
import { Problem } from '../problem.ts';
import type { Delivery, ReadAlerts } from './format.ts';
import { at, labelDigest, labelsOf, numberOrText, textOf, timeAt } from './read.ts';

const resolvedWords = ['resolved', 'ok', 'closed', 'up', 'recovered', 'normal', 'healthy'];

export function readGeneric(delivery: Delivery): ReadAlerts {
  const map = delivery.hook.map ?? {};
  const found = map.alerts === undefined ? delivery.payload : at(delivery.payload, map.alerts);
  const items: readonly unknown[] = map.alerts === undefined ? [found] : Array.isArray(found) ? (found as unknown[]) : [];
  if (map.alerts !== undefined && !Array.isArray(found)) throw new Problem(422, `there is no list at "${map.alerts}"`);
  if (items.length > 5000) throw new Problem(422, 'more than 5000 alerts in one delivery');
  if (items.length === 0) return { alerts: [], ignored: 'no alerts in it' };
  const alerts = items.flatMap((item, index) => readOne(delivery, item, index));
  if (alerts.length === 0) throw new Problem(422, `there is no name at "${map.name ?? ''}"`);
  return { alerts };
}

function readOne(delivery: Delivery, item: unknown, index: number): RawAlert[] {
  const map = delivery.hook.map ?? {};
  const name = textOf(at(item, map.name), 200);
  if (name === undefined) return [];
  const service = textOf(at(item, map.service), 200);
  const word = textOf(at(item, map.status), 100)?.toLowerCase();
  const ends = (map.resolved ?? resolvedWords).map((each) => each.toLowerCase());
  const status = word !== undefined && ends.includes(word) ? 'resolved' : 'firing';
  const labels = labelsOf(map.labels === undefined ? undefined : at(item, map.labels), delivery.wanted);
  const identity = labelDigest({ ...labels, alertname: name, service: service ?? '' });
  const startsAt = map.startsAt === undefined ? null : timeAt({ startsAt: at(item, map.startsAt) }, 'startsAt');
  const header = delivery.headers['idempotency-key'];
  const given = textOf(at(item, map.key) ?? (typeof header === 'string' ? header : undefined), 300);
  const severity = severityOf(textOf(at(item, map.severity), 50));
  return [
    {
      key: given === undefined ? `${identity}|${startsAt ?? `${delivery.bodyDigest}#${String(index)}`}|${status}` : `${given}#${String(index)}|${status}`,
      ...(given === undefined && startsAt === null ? { ofContent: true as const } : {}),
      identity,
      status,
      name,
      description: textOf(at(item, map.description)) ?? name,
      labels,
      startsAt,
      ...(severity === undefined ? {} : { severity }),
      ...(service === undefined ? {} : { service }),
      conditions: map.value === undefined && map.metric === undefined ? [] : [{ metric: textOf(at(item, map.metric), 200) ?? name, value: numberOrText(at(item, map.value)), threshold: numberOrText(at(item, map.threshold)) }],
      tracks: map.status !== undefined,
    },
  ];
}
