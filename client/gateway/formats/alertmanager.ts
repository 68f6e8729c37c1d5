/** Prometheus Alertmanager v4 and Grafana, which sends the same shape. Users change the body by templates: only `alerts[].labels` is insisted on. */
import { severityOf, type AlertCondition, type RawAlert } from '../../../domain/alert.ts';
import { Problem } from '../problem.ts';
import type { Delivery, ReadAlerts } from './format.ts';
import { isObject, labelDigest, labelsOf, listOf, numberOrText, objectOf, textAt, timeAt, type Json } from './read.ts';

const maxAlerts = 5000;

export function readAlertmanager(delivery: Delivery): ReadAlerts {
  const { payload } = delivery;
  if (!isObject(payload) || !Array.isArray(payload['alerts'])) {
    throw new Problem(422, 'the body has no list "alerts": a receiver with its own payload template needs a webhook with format: generic');
  }
  const items = listOf(payload['alerts']);
  if (items.length === 0) return { alerts: [], ignored: 'no alerts in it' };
  if (items.length > maxAlerts) throw new Problem(422, `more than ${String(maxAlerts)} alerts in one delivery`);
  const alerts = items.flatMap((item) => (isObject(item) && isObject(item['labels']) ? [readAlert(delivery, payload, item)] : []));
  if (alerts.length === 0) throw new Problem(422, 'none of the alerts has labels');
  return { alerts };
}

function readAlert(delivery: Delivery, payload: Json, item: Json): RawAlert {
  const labels = labelsOf({ ...objectOf(payload['commonLabels']), ...objectOf(item['labels']) }, delivery.wanted);
  const annotations = { ...objectOf(payload['commonAnnotations']), ...objectOf(item['annotations']) };
  const status = (textAt(item, 'status') ?? textAt(payload, 'status') ?? 'firing').toLowerCase() === 'resolved' ? 'resolved' : 'firing';
  const startsAt = timeAt(item, 'startsAt');
  // Over the labels as sent: truncation must not make two alerts one.
  const identity = textAt(item, 'fingerprint', 100) ?? labelDigest(labelsOf(item['labels'], new Set(Object.keys(objectOf(item['labels'])).slice(0, 200))));
  const name = labels['alertname'] ?? 'alert';
  const severity = severityOf(labels['severity'] ?? labels['priority']);
  const link = textAt(item, 'generatorURL') ?? textAt(payload, 'externalURL');
  return {
    key: `${identity}|${startsAt ?? delivery.bodyDigest}|${status}`,
    ...(startsAt === null ? { ofContent: true as const } : {}),
    identity,
    status,
    name,
    description: textAt(annotations, 'summary') ?? textAt(annotations, 'description') ?? textAt(annotations, 'message') ?? name,
    labels,
    startsAt,
    ...(severity === undefined ? {} : { severity }),
    conditions: conditionsOf(name, item, annotations, labels),
    tracks: true,
    // What the sender could not observe is no evidence that anything is broken.
    ...(name === 'DatasourceNoData' || name === 'DatasourceError' ? { unobserved: true } : {}),
    ...(link === undefined ? {} : { link }),
  };
}

/** Grafana tells values; Alertmanager only what people put into annotations. */
function conditionsOf(name: string, item: Json, annotations: Json, labels: Readonly<Record<string, string>>): AlertCondition[] {
  const threshold = numberOrText(annotations['threshold'] ?? labels['threshold']);
  const values = Object.entries(objectOf(item['values'])).slice(0, 10);
  if (values.length > 0) return values.map(([metric, value]) => ({ metric: `${name} ${metric}`.slice(0, 200), value: numberOrText(value), threshold }));
  return [{ metric: textAt(annotations, 'metric', 200) ?? name, value: numberOrText(annotations['value'] ?? labels['value']), threshold }];
}
