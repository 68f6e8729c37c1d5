import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { isDiskFull } from '../host/space.ts';

/** What to do about a table that others hold. */
export const lockHint = 'Find the session in pg_locks (mode AccessExclusiveLock); the dump is tried again.';

/** What went wrong with pg_dump, in our words. */
export const dumpError = (error: unknown, database: string, staging: string): unknown => {
  if (!isResurgoError(error, 'toolFailed')) return error;
  const stderr = error.details.stderr ?? '';
  if (isDiskFull(error))
    return new ResurgoError(
      'repositoryFull',
      `The staging disk (${staging}) became full while ${database} was dumped; nothing was published`,
      { cause: error, details: error.details },
    );
  const lockTimeout = /canceling statement due to lock timeout/.test(stderr);
  const lockLost = /could not obtain lock on relation/.test(stderr);
  const what = lockTimeout ? `A table of ${database} stayed locked by another session` : `pg_dump of ${database}`;
  return new ResurgoError('dumpFailed', `${what}: ${error.message}`, {
    cause: error,
    // A worker asks for its own lock and does not queue behind a waiting ALTER or TRUNCATE; a single process has its lock already.
    details: {
      ...error.details,
      ...(lockTimeout ? { hint: lockHint } : {}),
      ...(lockLost
        ? {
            lockLost: true,
            hint: 'Another session waits to change the named table. The next attempt dumps by one worker, for which it waits.',
          }
        : {}),
    },
  });
};
