/** Section `gamedays`. */
import { z } from 'zod';
import { disasterKinds } from '../domain/gameday.ts';
import { cron, duration, list, mapping, name, oneOf, text, timezone } from './leaf.ts';

export const gameDay = mapping(
  {
    plan: name('The plan that is tried.'),
    target: name('PostgreSQL target whose newest backup the sandbox is made of.'),
    disaster: oneOf(disasterKinds, 'What happens to the sandbox before the plan runs.'),
    table: text('With table-dropped, rows-deleted and data-corrupted: the table, as schema.table.').optional(),
    where: text('With rows-deleted: which rows, as an SQL condition; default all.').optional(),
    services: list(text('A name.'), "Names by which the plan's service.start, service.stop and service.restart call the database server: in the game day they mean the sandbox's.").optional(),
    run: list(name('Id of a step.'), 'Steps (exec, http.call, http.ok, actions of your own) that are safe to be really done; they get the sandbox in DATABASE_URL and PGHOST, PGPORT, PGUSER, PGDATABASE. All other steps that reach anything but the database are simulated.').optional(),
    params: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).meta({ kind: 'mapping of name to value', description: 'Parameters of the plan.' }).optional(),
    objectives: mapping({ rto: duration('Recovery time objective.').optional(), rpo: duration('Recovery point objective.').optional() }, "In place of the drill's, and the target's.").optional(),
    schedule: cron('When, as five cron fields or @monthly …').optional(),
    timezone: timezone('Whose clock the schedule follows.').default('UTC'),
    jitter: duration('Starts are spread by up to this long after the scheduled time.').optional(),
    catchup: duration('After Temporal was down: runs missed for less than this long are made up for.', { min: 10_000 }).default(86_400_000),
    paused: text('Why the schedule is paused; without it, it runs.').optional(),
    timeout: duration('The whole game day is ended and cleaned up after this.', { min: 1000 }).default(6 * 3_600_000),
  },
  'A game day: a plan is run against a sandbox in which a disaster was made. Checks, queries and place are those of the drill of the target.',
);

export type GameDayConfig = z.output<typeof gameDay>;
