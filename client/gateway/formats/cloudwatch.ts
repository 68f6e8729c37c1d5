/** CloudWatch alarms: inside an SNS notification's `Message`, or as an EventBridge event; anything else an SNS topic carries is told as it is. */
import type { AlertCondition, RawAlert } from '../../../domain/alert.ts';
import type { ReadAlerts } from './format.ts';
import { at, isObject, labelsOf, listOf, numberOrText, objectOf, textAt, textOf, tidy, timeAt, type Json } from './read.ts';

export interface SnsNotification {
  readonly messageId: string;
  readonly topicArn: string;
  readonly subject?: string;
  readonly message: string;
  readonly timestamp: string;
}

export function readSnsMessage(sns: SnsNotification, wanted: ReadonlySet<string>): ReadAlerts {
  let message: unknown;
  try {
    message = JSON.parse(sns.message) as unknown;
  } catch {
    message = undefined;
  }
  if (isObject(message) && textAt(message, 'AlarmName') !== undefined) return alarm(sns, message, wanted);
  if (isObject(message) && (textAt(message, 'detail-type') ?? '').startsWith('CloudWatch Alarm')) return eventBridge(sns, message, wanted);
  return { alerts: [plain(sns, wanted)] };
}

function stateOf(word: string | undefined): 'firing' | 'resolved' | undefined {
  return word === 'ALARM' ? 'firing' : word === 'OK' ? 'resolved' : undefined;
}

function alarm(sns: SnsNotification, message: Json, wanted: ReadonlySet<string>): ReadAlerts {
  const status = stateOf(textAt(message, 'NewStateValue'));
  const name = textAt(message, 'AlarmName', 200) ?? 'alarm';
  if (status === undefined) return { alerts: [], ignored: `state ${textAt(message, 'NewStateValue') ?? 'unknown'} says nothing of whether it is broken` };
  const trigger = message['Trigger'];
  const dimensions = Object.fromEntries(listOf(at(trigger, 'Dimensions')).flatMap((each) => {
    const key = textAt(each, 'name', 200) ?? textAt(each, 'Name', 200);
    const value = textAt(each, 'value', 200) ?? textAt(each, 'Value', 200);
    return key === undefined || value === undefined ? [] : [[key, value]];
  }));
  const arn = textAt(message, 'AlarmArn') ?? name;
  return {
    alerts: [{
      ...shared(sns, name, arn, status, textAt(message, 'AlarmDescription') ?? textAt(message, 'NewStateReason') ?? name),
      labels: labelsOf({ ...dimensions, alertname: name, account: message['AWSAccountId'], region: regionOf(arn) ?? message['Region'], namespace: at(trigger, 'Namespace'), metric: at(trigger, 'MetricName') }, wanted),
      // Written without a colon in the offset.
      startsAt: timeAt(message, 'StateChangeTime'),
      conditions: [{ metric: textOf(at(trigger, 'MetricName'), 200) ?? name, value: valueIn(textAt(message, 'NewStateReason')), threshold: numberOrText(at(trigger, 'Threshold')) }],
    }],
  };
}

function eventBridge(sns: SnsNotification, event: Json, wanted: ReadonlySet<string>): ReadAlerts {
  const detail = event['detail'];
  const status = stateOf(textOf(at(detail, 'state.value')));
  if (status === undefined) return { alerts: [], ignored: 'the state says nothing of whether it is broken' };
  const name = textAt(detail, 'alarmName', 200) ?? 'alarm';
  const conditions: AlertCondition[] = listOf(at(detail, 'configuration.metrics')).slice(0, 5).map((metric) => ({
    metric: textOf(at(metric, 'metricStat.metric.name'), 200) ?? name, value: valueIn(textOf(at(detail, 'state.reason'))), threshold: null,
  }));
  return {
    alerts: [{
      ...shared(sns, name, textOf(at(event, 'resources.0')) ?? name, status, textOf(at(detail, 'state.reason')) ?? name),
      labels: labelsOf({ alertname: name, account: event['account'], region: event['region'], ...objectOf(at(detail, 'alarmTags')) }, wanted),
      startsAt: textOf(at(detail, 'state.timestamp')) === undefined ? timeAt(event, 'time') : timeAt(at(detail, 'state'), 'timestamp'),
      conditions,
    }],
  };
}

/** A message that is no alarm: people are told, and a rule may match its topic. */
function plain(sns: SnsNotification, wanted: ReadonlySet<string>): RawAlert {
  const name = tidy(sns.subject ?? 'SNS message', 200);
  return { ...shared(sns, name, `${sns.topicArn} ${name}`, 'firing', tidy(sns.message)), labels: labelsOf({ alertname: name, topic: sns.topicArn.split(':').at(-1) }, wanted), startsAt: timeAt({ at: sns.timestamp }, 'at'), conditions: [], tracks: false };
}

const shared = (sns: SnsNotification, name: string, identity: string, status: 'firing' | 'resolved', description: string) =>
  ({ key: sns.messageId, identity, status, name, description, tracks: true }) as const;

const regionOf = (arn: string): string | undefined => /^arn:aws[a-z-]*:cloudwatch:([a-z0-9-]+):/.exec(arn)?.[1];

/** `… 1 datapoint [95.3 (08/03/23 00:41:00)] was greater than …` */
const valueIn = (reason: string | undefined): number | null => {
  const match = /\[(-?\d+(?:\.\d+)?(?:E-?\d+)?)[ \],]/.exec(reason ?? '');
  return match === null ? null : Number(match[1]);
};
