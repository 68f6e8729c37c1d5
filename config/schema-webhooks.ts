/** Alerts that come in: `webhooks` and the `gateway` that listens. */
import { z } from 'zod';
import { alertTypes } from '../domain/alert.ts';
import { secret } from './leaf-keys.ts';
import { duration, flag, integer, list, mapping, name, oneOf, size, text, url } from './leaf.ts';
import { leaf, refuse, asText } from './leaf-core.ts';
import { severity } from './schema-notify.ts';

/** One value or a list of them, kept as a list: during a rotation the old and the new secret are both good. */
const oneOrMore = <T extends z.ZodType>(item: T, kind: string, description: string) =>
  z
    .preprocess((value) => (Array.isArray(value) || value === undefined ? value : [value]), z.array(item).min(1).max(8))
    .meta({ kind, description });

/** A value to compare with as it is, or `/…/` for a regular expression over the whole value. */
const pattern = leaf<string>({ kind: 'text or `/regular expression/`', description: 'What the label has to be.' }, (value) => {
  const word = typeof value === 'string' ? asText(value) : String(value);
  if (!/^\/.*\/$/.test(word) || word.length < 2) return word;
  if (word.length > 500) return refuse('is longer than 500 characters');
  // Nested quantifiers take exponential time on hostile labels.
  if (/\([^)]*[+*][^)]*\)[+*{]/.test(word)) return refuse('has a repetition inside a repetition, which can take for ever; write it without');
  try {
    new RegExp(`^(?:${word.slice(1, -1)})$`, 'u');
    return word;
  } catch {
    return refuse('is not a regular expression');
  }
});

const planNames = oneOrMore(name('Name of a plan.'), 'name or list of names', 'The plan to run; with several, the next when one fails.');

export const alertRule = mapping(
  {
    match: z.record(z.string(), pattern).meta({ kind: 'mapping of label to text or `/regular expression/`', description: 'Labels an alert must have; empty matches all.' }).optional(),
    plan: planNames.optional(),
    plans: mapping(
      {
        full: planNames.optional(),
        data: planNames.optional(),
        partial: planNames.optional(),
      },
      'In place of plan, by the damage found: total loss, damaged data, anything else.',
    ).optional(),
    scenario: oneOf(['full', 'data', 'partial'], 'The damage, where the operator knows it: nothing is assessed then.').optional(),
    target: name('Target of the configuration this is about.').optional(),
    service: text('Service this is about; default the label `service`, `job` or `app`.').optional(),
    severity: severity('In place of what the alert says.').optional(),
    type: oneOf(alertTypes, 'What kind of thing is wrong; default the label `type`, else service.').optional(),
    approval: oneOf(['never', 'always'], 'Whether the plan waits for a person.').optional(),
    ignore: flag('Alerts that match are taken and do nothing.').optional(),
  },
  'The first rule that matches an alert decides.',
);

const webhook = mapping(
  {
    name: name('Its address is `/hooks/NAME`.'),
    format: oneOf(['alertmanager', 'grafana', 'pagerduty', 'sns', 'cloudwatch', 'generic'], 'What is sent. `sns` and `cloudwatch` are the same.'),
    token: oneOrMore(secret('A token.', { check: (value) => (value.length < 16 ? 'is shorter than 16 characters' : undefined) }), 'secret or list of secrets', 'Expected as `Authorization: Bearer …`, as password of `Basic`, or as `X-Resurgo-Token`. With several, any is good: old and new during a rotation.').optional(),
    hmac: oneOrMore(secret('A key.', { check: (value) => (value.length < 16 ? 'is shorter than 16 characters' : undefined) }), 'secret or list of secrets', 'Keys of the signature over the body: `grafana`, `pagerduty`, `generic`. With several, any is good.').optional(),
    signatureHeader: text('Header with the signature; default as the format has it, `X-Resurgo-Signature` for generic.').optional(),
    timestampHeader: text('Grafana and generic: header with the time that is signed with the body.').optional(),
    tolerance: duration('How old a signed time may be.', { min: 1000 }).default(300_000),
    topics: list(text('ARN of an SNS topic.', { check: (value) => (/^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+$/.test(value) ? undefined : 'is not the ARN of an SNS topic') }), 'sns: topics that are listened to; subscriptions of these alone are confirmed.').optional(),
    map: mapping(
      {
        alerts: text('Where the list of alerts is, as in `data.items`; without it the body is one alert.').optional(),
        name: text('Where its name is.', { example: 'check.name' }).optional(),
        status: text('Where its status is; without it every delivery is a firing alert.').optional(),
        resolved: list(text('A value.'), 'Values of status that mean resolved. Default resolved, ok, closed, up, recovered.').optional(),
        severity: text('Where its severity is.').optional(),
        service: text('Where the service is.').optional(),
        description: text('Where the description is.').optional(),
        startsAt: text('Where the time it began is.').optional(),
        key: text('Where an id of the delivery is that stays the same when it is sent again; default a header `Idempotency-Key`, else a digest of the body.').optional(),
        metric: text('Where the name of the metric is.').optional(),
        value: text('Where its value is.').optional(),
        threshold: text('Where the threshold is.').optional(),
        labels: text('Where a mapping of labels is.').optional(),
      },
      'generic: where things are in the JSON, as paths of keys joined by dots.',
    ).optional(),
    rules: list(alertRule, 'What to do about which alert.').optional(),
    maxBody: size('Larger bodies are refused.', { min: 1024, max: 8 * 1024 ** 2 }).default(1024 ** 2),
    rate: integer('Deliveries per second that are taken, over a short time; more are told to come again.', 1, 10_000).default(200),
  },
  'A source of alerts.',
);

export const webhooksSection = list(webhook, 'Where alerts come from.');

export const gatewaySection = mapping(
  {
    host: text('Address to listen on. Anything but loopback should have TLS in front.').default('127.0.0.1'),
    port: integer('Port to listen on; `resurgo up` takes another when it is not free.', 0, 65_535).default(8377),
    boardToken: secret('Who looks at the board shows this, as a bearer token or the password of a login; without it the board answers on loopback only.', { check: (value) => (value.length < 16 ? 'is shorter than 16 characters' : undefined) }).optional(),
    publicUrl: url('Where people reach it, for links in messages.').optional(),
  },
  'Where webhooks, API and board are served.',
);

export type AlertRuleConfig = z.output<typeof alertRule>;
export type WebhookConfig = z.output<typeof webhook>;
export type GatewayConfig = z.output<typeof gatewaySection>;
