/** What is watched: `monitors`. */
import { z } from 'zod';
import { alertTypes } from '../domain/alert.ts';
import { leaf, refuse } from './leaf-core.ts';
import { connection, secret } from './leaf-keys.ts';
import { duration, flag, integer, list, mapping, name, oneOf, text } from './leaf.ts';
import { severity } from './schema-notify.ts';

const decimal = (description: string) =>
  leaf<number>({ kind: 'number', description }, (value) => {
    const number = typeof value === 'string' && /^-?\d{1,15}(\.\d{1,9})?$/.test(value) ? Number(value) : value;
    return typeof number === 'number' && Number.isFinite(number) ? number : refuse('is not a number');
  });

const httpUrl = (description: string) => text(description, { check: (value) => (URL.canParse(value) && /^https?:\/\/[^/]/i.test(value) && new URL(value).password === '' ? undefined : 'is not an http:// or https:// URL without a password') });
/** `http: URL` is short for `http: { url: URL }`. */
const orUrl = <T extends z.ZodType>(schema: T, description: string) =>
  z.preprocess((value) => (typeof value === 'string' ? { url: value } : value), schema).meta({ kind: 'URL or mapping', description });

const aws = { region: text('Region; default as the environment says.').optional(), endpoint: httpUrl('In place of the service’s own address.').optional() };
const plans = z.preprocess((value) => (Array.isArray(value) || value === undefined ? value : [value]), z.array(name('Name of a plan.')).min(1).max(8)).meta({ kind: 'name or list of names', description: 'The plan to run; with several, the next when one fails.' });

const monitor = mapping(
  {
    name: name('Its name, unique.'),
    http: orUrl(
      mapping({
        url: httpUrl('What is asked for, by GET.'),
        status: integer('Status that is good; default any below 400.', 100, 599).optional(),
        contains: text('Text the answer must contain.').optional(),
        token: secret('Sent as `Authorization: Bearer …`.').optional(),
      }, 'An HTTP address.'),
      'An HTTP address: not reached, a wrong status or a missing text is wrong. Slower than `above` ms (2000) for 5 minutes too.',
    ).optional(),
    postgres: mapping({ connection: connection('The server.'), password: secret('Its password.').optional(), lag: flag('Watch how far it is behind, in seconds, by `above`; on a primary the slowest standby.').default(false) }, 'A PostgreSQL server: that it takes a connection and answers.').optional(),
    prometheus: mapping({ url: httpUrl('Address of the Prometheus server.'), query: text('PromQL; of several series the worst counts.'), token: secret('Sent as `Authorization: Bearer …`.').optional() }, 'A Prometheus query, compared with `above` or `below`.').optional(),
    host: oneOf(['cpu', 'memory', 'disk'], 'This host: percent used. Defaults: cpu above 90, memory above 85 (above 90 is critical), disk above 95, for 5 minutes.').optional(),
    path: text('host: disk: a path on the file system.').optional(),
    on: name('Worker host that observes it; default any.').optional(),
    ecs: mapping({ cluster: text('Cluster.'), service: text('Service.'), ...aws }, 'An ECS service: fewer tasks run than are wanted.').optional(),
    rds: mapping({ instance: text('Instance.').optional(), cluster: text('Cluster.').optional(), ...aws }, 'An RDS instance or cluster whose status is not available; backing-up, modifying, maintenance and their kin are no incident.').optional(),
    route53: mapping({ healthCheck: text('Id of the health check.'), endpoint: aws.endpoint }, 'A Route 53 health check.').optional(),
    cloudwatch: mapping({
      namespace: text('As in AWS/EC2.'), metric: text('Name of the metric.'),
      dimensions: z.record(z.string(), text('A value.')).meta({ kind: 'mapping of name to text', description: 'Dimensions.' }).optional(),
      statistic: oneOf(['Average', 'Maximum', 'Minimum', 'Sum', 'SampleCount'], 'How values are put together.').default('Average'),
      period: duration('Over how long; a multiple of a minute.', { min: 60_000 }).default(60_000), ...aws,
    }, 'A CloudWatch metric, compared with `above` or `below`.').optional(),
    every: duration('How often.', { min: 200 }).default(15_000),
    timeout: duration('How long one look may take.', { min: 50 }).default(10_000),
    above: decimal('Wrong above this.').optional(),
    below: decimal('Wrong below this.').optional(),
    clear: decimal('Over only when this is reached again, so that it does not flap.').optional(),
    window: duration('Values are averaged over this long.').optional(),
    for: duration('It has to be wrong for this long.').optional(),
    failures: integer('… and so many times in a row; default 3, with `for` 1.', 1, 1000).optional(),
    recoveries: integer('It is over after so many good looks in a row.', 1, 1000).default(2),
    severity: severity('How bad it is; default ECS, Route 53 and HTTP high, RDS and PostgreSQL critical, else as its kind says.').optional(),
    type: oneOf(alertTypes, 'What kind of thing is wrong; default by its kind.').optional(),
    service: text('Service this is about; default its name.').optional(),
    target: name('Target of the configuration this is about.').optional(),
    plan: plans.optional(),
    plans: mapping({ full: plans.optional(), data: plans.optional(), partial: plans.optional() }, 'In place of plan, by the damage found.').optional(),
    approval: oneOf(['never', 'always'], 'Whether the plan waits for a person.').optional(),
  },
  'Something that is looked at all the time: exactly one of http, postgres, prometheus, host, ecs, rds, route53, cloudwatch.',
);

export const monitorKinds = ['http', 'postgres', 'prometheus', 'host', 'ecs', 'rds', 'route53', 'cloudwatch'] as const;
export const monitorsSection = list(monitor, 'What is watched.');
export type MonitorConfig = z.output<typeof monitor>;
