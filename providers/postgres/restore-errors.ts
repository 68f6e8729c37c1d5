import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { isDiskFull } from '../host/space.ts';

/** What went wrong with pg_restore, in our words. */
export const restoreError = (error: unknown, database: string): unknown => {
  if (!isResurgoError(error, 'toolFailed')) return error;
  if (isDiskFull(error))
    return new ResurgoError('destinationSpace', `The disk of the server became full while ${database} was restored`, {
      cause: error,
      details: error.details,
    });
  if (/unsupported version .* in file header/.test(error.message))
    return new ResurgoError(
      'toolVersion',
      `pg_restore is older than the pg_dump that made this backup: ${error.message}`,
      { cause: error },
    );
  if (/unrecognized configuration parameter/.test(error.message)) {
    return new ResurgoError('toolVersion', `pg_restore is too new for the destination server: ${error.message}`, {
      cause: error,
      details: { hint: "Use the client programs of the server's own major version." },
    });
  }
  return new ResurgoError('restoreFailed', `pg_restore into ${database}: ${error.message}`, {
    cause: error,
    details: error.details,
  });
};
