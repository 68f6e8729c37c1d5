import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { isDiskFull } from '../host/space.ts';
import { closedHint, isClosed, isNoText, noTextHint } from './postgres-error.ts';

/** What to do about a table that others hold. */
export const lockHint = 'Find the session in pg_locks (mode AccessExclusiveLock); the dump is tried again.';

/** The line of pg_dump that says why, without its own name. */
const lastError = (stderr: string): string =>
  (/^.*?(?:FATAL|ERROR|error): +(.{1,300})$/m.exec(stderr)?.[1] ?? stderr.slice(-300)).trim();

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
  // No later attempt may what this one may not.
  const denied = /^.*?((?:permission denied for|query would be affected by row-level security policy for) .{1,200}?)\s*$/m.exec(stderr)?.[1];
  if (denied !== undefined)
    return new ResurgoError('sourceDenied', `${database} could not be dumped: ${denied}`, {
      cause: error,
      details: { hint: 'Give the role the right it lacks; `resurgo check` lists what is missing and the statements that grant it.' },
    });
  for (const [hopeless, code, hint] of [
    [isClosed, 'sourceDenied', closedHint],
    [isNoText, 'sourceUnsupported', noTextHint],
  ] as const)
    if (hopeless(stderr))
      return new ResurgoError(code, `${database} could not be dumped: ${lastError(stderr)}`, {
        cause: error,
        details: { hint },
      });
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
