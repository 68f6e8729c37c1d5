import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { clearDestination, parseBuildMark } from './create-database.ts';
import { setDatabaseComment } from './database-properties.ts';
import { databaseState, dropDatabase, withMaintenance } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';
import { quoteIdent } from './quote.ts';

/**
 * Takes a built database into use under its final name: renamed if need be, with the comment the backed-up one had. Done already is success.
 * @throws destinationNotEmpty when the final name has been taken meanwhile
 */
export const settleDatabase = async (options: {
  connection: PostgresConnection;
  built: string;
  database: string;
  id: string;
  signal?: AbortSignal | undefined;
}): Promise<void> =>
  withMaintenance(
    options.connection,
    [options.built, options.database],
    async (client) => {
      const { built, database, id } = options;
      const state = await databaseState(client, built);
      if (state === undefined && built !== database && (await databaseState(client, database)) !== undefined) return;
      const mark = parseBuildMark(state?.comment);
      if (mark?.id !== id || mark.state !== 'built') {
        if (built === database && state !== undefined && mark === undefined) return;
        throw new ResurgoError('restoreFailed', `Database ${built} is not a finished build of restore ${id}`);
      }
      if (built !== database) {
        if ((await databaseState(client, database)) !== undefined)
          await clearDestination(options.connection, client, database, id, options.signal);
      }
      await client.query('begin');
      try {
        if (built !== database)
          await client.query(`alter database ${quoteIdent(built)} rename to ${quoteIdent(database)}`);
        await setDatabaseComment(client, database, mark.notes.comment);
        await client.query('commit');
      } catch (error) {
        await client.query('rollback').catch(() => undefined);
        throw mapPostgresError(error, `taking ${built} into use as ${database}`, options.connection, 'restoreFailed');
      }
    },
    options.signal,
  );

/** Drops what restore `id` built, and nothing else. Gone already is success. */
export const discardDatabase = async (connection: PostgresConnection, database: string, id: string): Promise<boolean> =>
  withMaintenance(connection, [database], async (client) => {
    const state = await databaseState(client, database);
    if (state === undefined || parseBuildMark(state.comment)?.id !== id) return false;
    await dropDatabase(connection, client, database);
    return true;
  });
