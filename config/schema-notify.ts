/** Who is told what, where: `notify`, `escalation`, `incidents`. */
import { type z } from 'zod';
import { notifyEvents } from '../domain/notification.ts';
import { severities } from '../domain/severity.ts';
import { secret } from './leaf-keys.ts';
import { duration, flag, integer, isHttpUrl, list, mapping, name, oneOf, text, url } from './leaf.ts';

const address = (description: string) =>
  text(description, { check: (value) => (/^[^@<>]*<?[^@\s<>]+@[^@\s<>]+>?$/.test(value) ? undefined : 'is not a mail address') });
export const severity = (description: string) => oneOf(severities, description);

const channel = mapping(
  {
    name: name('Its name, for `escalation` and `resurgo notify test`; default its kind: slack, smtp, pagerduty or webhook.').optional(),
    slack: secret('URL of a Slack incoming webhook.', { check: isHttpUrl }).optional(),
    smtp: mapping(
      {
        host: text('Mail server.'),
        port: integer('Its port.', 1, 65_535).default(587),
        tls: flag('TLS from the first byte (port 465). Without it STARTTLS is used where the server offers it.').default(false),
        requireTls: flag('Refuse to send a mail over a connection without TLS.').default(false),
        verifyTls: flag('Whether the certificate of the server has to be good.').default(true),
        user: text('Login, where the server wants one.').optional(),
        password: secret('Its password.').optional(),
        from: address('Sender.'),
        to: list(address('A mail address.'), 'Receivers.'),
      },
      'Mail, as text and HTML in one message.',
    ).optional(),
    pagerduty: mapping(
      {
        routingKey: secret('Integration key of an Events API v2 integration.'),
        endpoint: url('For a region of its own, or a proxy.').default('https://events.pagerduty.com/v2/enqueue'),
      },
      'PagerDuty Events v2: incidents are triggered, acknowledged and resolved there too.',
    ).optional(),
    webhook: mapping(
      {
        url: secret('Where the JSON is posted to.', { check: isHttpUrl }),
        token: secret('Sent as `Authorization: Bearer …`.').optional(),
        hmac: secret('Key of the `X-Resurgo-Signature` header; see docs/guides/notifications.md.').optional(),
      },
      'Any other service: one POST with JSON, with an `Idempotency-Key`.',
    ).optional(),
    minSeverity: severity('Only messages at least this severe.').optional(),
    events: list(oneOf(notifyEvents, 'An event.'), 'Only these events. `ticket` and `joined` are sent only to channels that name them.').optional(),
    timeout: duration('How long one attempt may take.', { min: 100 }).default(10_000),
  },
  'One place messages go to: exactly one of slack, smtp, pagerduty, webhook.',
);

export const notifySection = list(channel, 'Where people are told.');

const level = mapping(
  {
    level: name('Its name, as in devops, dev-lead, cto.'),
    after: leafZeroDuration('How long after the incident opened, unless a person has acknowledged it; `0m` is at once.'),
    notify: list(name('Name of a channel.'), 'Who is told then, whatever the channel says of severities and events.'),
    minSeverity: severity('Only for incidents at least this severe.').optional(),
  },
  'Who is told when nobody has acknowledged an incident.',
);
function leafZeroDuration(description: string) {
  return duration(description, { min: 0 });
}
export const escalationSection = list(level, 'Levels of escalation, by durable timers.');

export const incidentsSection = mapping(
  {
    cooldown: duration('After an incident: alerts of the same service open no new one for this long.', { min: 0 }).default(300_000),
    confirm: duration('After a plan: how long the alert may still fire before the recovery counts as failed.').default(300_000),
    maxFailures: integer('So many failed recoveries of a service within `window` stop automatic runs for it until `resurgo incident rearm`.', 1, 100).default(3),
    window: duration('See maxFailures.').default(3_600_000),
    gather: duration('What happens within this time goes out as one message.').default(1_000),
    approval: oneOf(['never', 'always', 'critical'], 'Which plans wait for `resurgo incident approve` when their rule does not say.').default('never'),
    approvers: integer('How many people have to approve.', 1, 20).default(1),
    approvalTimeout: duration('How long an approval is waited for; then the incident is handed over to people.').default(3_600_000),
    assess: duration('How long the damage assessment may take before a plan is chosen without it.').default(30_000),
    budgets: mapping(
      {
        assess: duration('Assessing the damage.').default(30 * 60_000),
        infrastructure: duration('Bringing the infrastructure back.').default(120 * 60_000),
        data: duration('Bringing the data back.').default(60 * 60_000),
        verify: duration('Verifying.').default(45 * 60_000),
        resume: duration('Resuming service.').default(15 * 60_000),
      },
      'Time budgets of a recovery; the incident reports against them.',
    ).default({ assess: 30 * 60_000, infrastructure: 120 * 60_000, data: 60 * 60_000, verify: 45 * 60_000, resume: 15 * 60_000 }),
  },
  'How incidents behave.',
);

export type ChannelConfig = z.output<typeof channel>;
export type EscalationLevel = z.output<typeof level>;
export type IncidentsConfig = z.output<typeof incidentsSection>;
