import { z } from 'zod';
import { cron, duration, integer, list, mapping, name, text, timezone } from './leaf.ts';

const archivedTable = mapping(
  {
    column: text('Column of type date or timestamp; a row whose time lies before the cutoff is due.', { example: 'created_at' }).optional(),
    where: text('SQL condition on the row (alias `t`), besides or in place of `column`; `{cutoff}` stands for the time.', { example: "status = 'closed'" }).optional(),
  },
  'Which rows of a table are moved.',
);

export const archiveRule = mapping(
  {
    target: name('Name of a PostgreSQL target; the tables are in the database of its connection.'),
    tables: z
      .record(z.string(), archivedTable)
      .meta({ kind: 'mapping of table to rule', description: 'Tables (`schema.table`, `public` when not said) whose old rows are moved.' }),
    after: duration('Rows older than this are moved.', { min: 1000 }).default(90 * 86_400_000),
    keep: duration('Archived rows are kept for so long after they were archived, then removed for good.', { min: 1000 }).default(365 * 86_400_000),
    batch: integer('Rows in one archive set: what is verified, and deleted in one transaction, at a time.', 1, 1_000_000).default(50_000),
    schedule: cron('When, as five cron fields or @daily …').optional(),
    timezone: timezone('Whose clock the schedule follows.').default('UTC'),
    jitter: duration('Starts are spread by up to this long after the scheduled time.').optional(),
    catchup: duration('After Temporal was down: runs missed for less than this long are made up for.', { min: 10_000 }).default(3_600_000),
    paused: text('Why the schedule is paused; without it, it runs.').optional(),
    repositories: list(name('Name of a repository.'), "Where to; every one of them must hold a set before a row is deleted. Default the target's.").optional(),
  },
  'Which old rows of a target are moved into the archive.',
);
