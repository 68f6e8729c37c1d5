/** Keys that targets of every type have. */
import { duration, filePath, integer, list, mapping, name, oneOf, text } from './leaf.ts';

const command = (what: string) =>
  list(
    text('One argument.'),
    `Program and arguments that ${what}; no shell. The program by absolute path, or found on the PATH.`,
  ).optional();

export const service = mapping(
  {
    stop: command('stop what uses the database, before an in-place restore swaps the data'),
    start: command('start it again'),
    health: command('end with 0 when the service is well'),
    timeout: duration('How long each may take.').default(120_000),
  },
  'Hooks around an in-place restore.',
);

export const objectives = mapping(
  {
    rto: duration('Recovery time objective: how long a recovery may take.').default(4 * 3_600_000),
    rpo: duration('Recovery point objective: how much time of data may be lost.').default(3_600_000),
    maxDuration: duration('A backup that takes longer is reported by `resurgo status`.').default(600_000),
    minSuccess: integer('Percent of the runs of 30 days that have to end well (default 95), those that never started counted; less is reported by `resurgo status`.', 0, 100).optional(),
  },
  'What is promised; measured against.',
);

/** Spread into the shape of every target type. */
export const commonTarget = {
  compression: oneOf(['zstd', 'none'], 'How parts are compressed.').default('zstd'),
  compressionLevel: integer(
    'zstd level. On table data 3 takes more than twice the time of 1 for next to no gain.',
    1,
    19,
  ).default(1),
  verify: oneOf(
    ['checksum', 'authenticated', 'content'],
    'How deep a backup is read back before it is called verified: `checksum` compares stored bytes, `authenticated` also decrypts every part, `content` also checks what is inside.',
  ).default('authenticated'),
  repositories: list(
    name('Name of a repository.'),
    'Where backups go when no policy says; default all repositories.',
  ).optional(),
  service: service.optional(),
  host: name("Worker host that backs it up and restores it: the worker's `--host`; default any worker.").optional(),
  staging: filePath(
    'Directory for what is unpacked and combined before it is swapped in; default beside the destination.',
  ).optional(),
  objectives: objectives.optional(),
} as const;
