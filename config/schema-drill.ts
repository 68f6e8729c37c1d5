/** Section `drills`. */
import type { z } from 'zod';
import { cron, duration, filePath, integer, list, mapping, name, oneOf, text, timezone } from './leaf.ts';

const databaseName = text('Database it is run in; default the drill\'s.').optional();
const checkTimeout = duration('How long it may take.', { min: 100 }).default(60_000);
const words = (what: string) => list(text('One argument.'), `Program and arguments; no shell. ${what}`);

/** `select …`: the shape only; that it changes nothing is the server's business (read-only transaction and role). */
const query = (description: string) =>
  text(description, { check: (value) => (/^\s*(--[^\n]*\n\s*)*(select|with|values|table|show|explain)\b/i.test(value) ? undefined : 'does not begin with SELECT, WITH, VALUES, TABLE or SHOW') });

const httpUrl = text('URL that is to answer; `start` may start what answers there.', {
  example: 'http://127.0.0.1:8081/health',
  check: (value) => (!URL.canParse(value) || !/^https?:\/\/[^/]/i.test(value) ? 'is not an http:// or https:// URL' : new URL(value).username || new URL(value).password ? 'carries a login' : undefined),
});

export const drillCheck = mapping(
  {
    name: text('How it is called in results.').optional(),
    sql: query('A query that is to be true: its first value is, or is what `equals` or `min` say.').optional(),
    equals: text('With `sql`: the first value as text.').optional(),
    min: integer('With `sql`: the first value is a number and at least this.', 0, 1_000_000_000).optional(),
    database: databaseName,
    http: httpUrl.optional(),
    status: integer('With `http`: the status that is wanted; default any from 200 to 299.', 100, 599).optional(),
    contains: text('With `http`: text that is to be in the answer.').optional(),
    start: words('With `http`: started before, ended after; gets the restored database in PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and DATABASE_URL.').optional(),
    command: words('Is to end with 0; gets the restored database in PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and DATABASE_URL.').optional(),
    timeout: checkTimeout,
  },
  'One of `sql`, `http` and `command`.',
);

const performanceCheck = mapping(
  {
    name: text('How it is called in results.').optional(),
    sql: query('A query that the application lives on.'),
    database: databaseName,
    runs: integer('How often it is measured, after a few that are not.', 5, 10_000).default(40),
    p95Ms: integer('95 of 100 runs are to take at most this, in milliseconds; without it they are only compared with earlier drills.', 1, 3_600_000).optional(),
    timeout: checkTimeout,
  },
  'A query whose latency is measured after VACUUM (ANALYZE).',
);

export const drill = mapping(
  {
    target: name('Name of the target; one drill each.'),
    schedule: cron('When, as five cron fields or @monthly …').optional(),
    timezone: timezone('Whose clock the schedule follows.').default('UTC'),
    jitter: duration('Starts are spread by up to this long after the scheduled time.').optional(),
    catchup: duration('After Temporal was down: runs missed for less than this long are made up for.', { min: 10_000 }).default(86_400_000),
    paused: text('Why the schedule is paused; without it, it runs.').optional(),
    database: text("Database the checks are run in; default that of the target's connection.").optional(),
    checks: list(drillCheck, 'What the application needs: each is to pass.').optional(),
    performance: list(performanceCheck, 'Queries whose latency is measured.').optional(),
    marker: query('A query for the newest time in the data, for example `select max(created_at) from orders`: the loss is measured by it. Also asked of the source when the drill begins.').optional(),
    records: query('A query for a number of records, on the source and on the restored data: their difference is the data loss.').optional(),
    integrity: oneOf(['full', 'quick', 'none'], '`full`: every row is read, indexes and heap are checked (amcheck), visibility maps compared, counted both ways; `quick`: without reading every row; `none`.').default('full'),
    objectives: mapping({ rto: duration('Recovery time objective.').optional(), rpo: duration('Recovery point objective.').optional() }, "In place of the target's.").optional(),
    detect: duration('How long it takes people or monitors to notice; added to the recovery time, which a drill cannot measure.').optional(),
    host: name("Worker host that runs the drill; default the target's.").optional(),
    directory: filePath("Where the isolated copy is built, below a directory of its own; default the target's `staging`, else beside its data directory, else the temporary directory.", { absolute: true }).optional(),
    timeout: duration('The whole drill is ended and cleaned up after this.', { min: 1000 }).default(12 * 3_600_000),
  },
  'A restore drill: the newest backup is restored in isolation, checked, measured and thrown away.',
);

export type DrillConfig = z.output<typeof drill>;
export type DrillCheckConfig = z.output<typeof drillCheck>;
export type PerformanceConfig = z.output<typeof performanceCheck>;
