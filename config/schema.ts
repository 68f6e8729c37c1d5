/** The configuration file. What its keys mean stands here and, generated from here, in docs/reference/config.md. */
import { z } from 'zod';
import { keyFile, publicKey, recipient, secret } from './leaf-keys.ts';
import { cron, duration, flag, integer, list, mapping, name, oneOf, text, timezone } from './leaf.ts';
import { dnsServer, type dnsRecord, type failover, type fence } from './schema-cluster.ts';
import { actionFiles, approvers, plans } from './schema-plan.ts';
import { archiveRule } from './schema-archive.ts';
import { monitorsSection } from './schema-monitors.ts';
import { escalationSection, incidentsSection, notifySection } from './schema-notify.ts';
import { gatewaySection, webhooksSection } from './schema-webhooks.ts';
import { deadmanSection } from './schema-deadman.ts';
import { telemetrySection } from './schema-telemetry.ts';
import { drill } from './schema-drill.ts';
import { replication } from './schema-replication.ts';
import { gameDay } from './schema-gameday.ts';
import { diskRepository, s3Repository } from './schema-repository.ts';
import type { member } from './schema-target.ts';
import { objectives, type service } from './schema-target-common.ts';
import { targetTypes, unbuiltTargetTypes } from './target-types.ts';

const encryption = mapping(
  {
    recipients: list(recipient('An age public key.'), 'Who can restore: age public keys.').optional(),
    identity: keyFile('The age identity (secret key); only where restores run.', '{ file: ./resurgo.key }').optional(),
    passphrase: secret('In place of recipients and identity: one passphrase for both.', {
      check: (value) => (value.length < 12 ? 'is shorter than 12 characters' : undefined),
    }).optional(),
    hostKey: keyFile("This host's own key: signs manifests, opens metadata of its own backups.").default({
      file: './resurgo-host.key',
    }),
    trustedHosts: list(
      publicKey('Public signing key of a host.'),
      "Public signing keys of hosts whose manifests are accepted; default this host's.",
    ).optional(),
  },
  'Keys. Everything is encrypted before it leaves the host.',
);

type Variant = ReturnType<typeof mapping>;
const typeOf = (schema: z.ZodType): string => String(((schema as Variant).shape['type']?._zod.def as { values?: readonly unknown[] } | undefined)?.values?.[0]);

/** One schema per value of `type`, each known value that is not built yet refused in words. */
const byType = <const T extends readonly z.ZodType[]>(known: T, unbuilt: readonly string[], description: string) => {
  const built = known.filter((schema) => !unbuilt.includes(typeOf(schema)));
  const words = built.map(typeOf);
  const refused = unbuilt.map((type) =>
    z.looseObject({ type: z.literal(type) }).transform((_, ctx): never => {
      ctx.addIssue({
        code: 'custom',
        path: ['type'],
        message: `${JSON.stringify(type)} is not supported by this version. Use one of: ${words.join(', ')}.`,
      });
      return z.NEVER;
    }),
  );
  const options = [...built, ...refused] as unknown as readonly [
    z.core.$ZodTypeDiscriminable,
    ...z.core.$ZodTypeDiscriminable[],
  ];
  return (z.discriminatedUnion('type', options, { error: () => words.join(' ') }) as unknown as z.ZodUnion<T>).meta({
    kind: 'mapping',
    description,
  });
};

const policy = mapping(
  {
    targets: list(name('Name of a target.'), 'What is backed up.'),
    kind: oneOf(
      ['full', 'differential', 'incremental'],
      'Everything; what changed since the last full; what changed since the last backup.',
    ).default('full'),
    schedule: cron('When, as five cron fields or @daily …').optional(),
    timezone: timezone('Whose clock the schedule follows.').default('UTC'),
    preset: oneOf(
      ['daily', 'weekly', 'hourly'],
      'In place of kind and schedule, a set of them; see docs/guides/schedules.md.',
    ).optional(),
    jitter: duration('Starts are spread by up to this long after the scheduled time.').optional(),
    overlap: oneOf(
      ['skip', 'wait'],
      'When another operation on the target, or the run before, still goes on: leave this one out, or start it after.',
    ).default('skip'),
    catchup: duration('After Temporal was down: runs missed for less than this long are made up for.', {
      min: 10_000,
    }).default(3_600_000),
    paused: text('Why the schedule is paused; without it, it runs.').optional(),
    repositories: list(
      name('Name of a repository.'),
      "Where to; default the target's `repositories`, else all.",
    ).optional(),
  },
  'What is backed up when and where to.',
);

const count = (what: string) => integer(`Keep the newest of each of the last N ${what}.`, 0, 10_000).optional();
const retentionRule = mapping(
  {
    targets: list(name('Name of a target.'), 'Only for these targets.').optional(),
    repositories: list(name('Name of a repository.'), 'Only in these repositories.').optional(),
    last: integer('Keep the newest N.', 0, 10_000).optional(),
    hourly: count('hours'),
    daily: count('days'),
    weekly: count('weeks'),
    monthly: count('months'),
    yearly: count('years'),
    age: duration('Keep what is younger.').optional(),
    timezone: timezone('Whose days, weeks, months and years are counted.').optional(),
    pitr: duration('With a WAL archive: any moment of this long a time back can be restored; default 7d.').optional(),
  },
  'A backup stays if any rule keeps it.',
);


export const configSchema = mapping({
  version: z
    .unknown()
    .transform((value, ctx): 1 => {
      if (value === 1) return 1;
      ctx.addIssue({
        code: 'custom',
        message:
          value === undefined
            ? 'is missing; write version: 1'
            : `${JSON.stringify(value)} is not a version this Resurgo knows; write version: 1`,
      });
      return z.NEVER;
    })
    .meta({ kind: '`1`', description: 'Version of this format.' }),
  encryption,
  repositories: z
    .record(z.string(), byType([diskRepository, s3Repository], [], 'A place for backups.'))
    .meta({ kind: 'mapping of name to repository', description: 'Where backups are kept, by name.' }),
  targets: z
    .record(
      z.string(),
      byType(targetTypes, unbuiltTargetTypes, 'Something to back up.'),
    )
    .meta({ kind: 'mapping of name to target', description: 'What is backed up, by name.' }),
  policies: list(policy, 'Which target is backed up when, how and where to.').optional(),
  retention: list(retentionRule, 'Which backups are kept.').optional(),
  objectives: objectives.default({ rto: 4 * 3_600_000, rpo: 3_600_000, maxDuration: 600_000 }),
  deletion: mapping(
    {
      grace: duration('How long what retention removed can still be brought back (`resurgo backups undelete ID`) before its objects go.', { min: 0 }).default(86_400_000),
    },
    'How backups are removed.',
  ).default({ grace: 86_400_000 }),
  upkeep: mapping(
    {
      scrub: duration('Everything a repository holds is read back once in this time.', { min: 3_600_000 }).default(30 * 86_400_000),
      schedule: cron('When copies are caught up, a share is read back and damage is healed.').default('45 */6 * * *'),
      enabled: flag('Whether `resurgo schedules apply` makes schedules of it.').default(true),
    },
    'Keeping the repositories whole.',
  ).default({ scrub: 30 * 86_400_000, schedule: '45 */6 * * *', enabled: true }),
  drills: list(drill, 'Restore drills: a backup is proven by restoring it.').optional(),
  gamedays: list(gameDay, 'Game days: a plan is tried in a sandbox.').optional(),
  archives: list(archiveRule, 'Which old rows are moved out of which tables; `resurgo archive`.').optional(),
  replication: replication.optional(),
  dns: z.record(z.string(), dnsServer).meta({ kind: 'mapping of name to DNS server', description: 'DNS servers whose records may be changed.' }).optional(),
  monitors: monitorsSection.optional(),
  plans: plans.optional(),
  approvers: approvers.optional(),
  actions: actionFiles.optional(),
  webhooks: webhooksSection.optional(),
  gateway: gatewaySection.optional(),
  incidents: incidentsSection.optional(),
  escalation: escalationSection.optional(),
  notify: notifySection.optional(),
  deadman: deadmanSection.optional(),
  telemetry: telemetrySection.optional(),
});

type Parsed = z.output<typeof configSchema>;
/** The parsed configuration: defaults filled in, durations in ms, sizes in bytes, paths absolute, secrets as references. */
export type Config = Parsed;
export type EncryptionConfig = z.output<typeof encryption>;
export type DiskRepositoryConfig = z.output<typeof diskRepository>;
export type S3RepositoryConfig = z.output<typeof s3Repository>;
export type RepositoryConfig = DiskRepositoryConfig | S3RepositoryConfig;
export type { ConfigTargetConfig, GroupTargetConfig, DatasetTargetConfig, FilesTargetConfig, PostgresTargetConfig, RdsTargetConfig, TargetConfig } from './target-types.ts';
export type MemberConfig = z.output<typeof member>;
export type FenceConfig = z.output<typeof fence>;
export type FailoverConfig = z.output<typeof failover>;
export type ReplicationConfig = z.output<typeof replication>;
export type DnsServerConfig = z.output<typeof dnsServer>;
export type DnsRecordConfig = z.output<typeof dnsRecord>;
export type ServiceConfig = z.output<typeof service>;
export type ObjectivesConfig = z.output<typeof objectives>;
export type ArchiveRuleConfig = z.output<typeof archiveRule>;
export type PolicyConfig = z.output<typeof policy>;
export type RetentionRule = z.output<typeof retentionRule>;
