import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { setDatabaseComment } from './database-properties.ts';
import { copyMark, parseCopyMark, type CopyMark } from './in-place-marks.ts';
import { failedName, keptName } from './in-place-names.ts';
import { allow, kept, rename, renameTogether, type InPlaceOptions } from './in-place-steps.ts';
import { databaseState, dropDatabase, withMaintenance } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';

/** Whether the old database of restore `id` is kept just now. */
export const keepsInPlace = async ({ connection, database, id, signal }: InPlaceOptions): Promise<boolean> => {
  const old = keptName(database);
  return withMaintenance(connection, [database, old], async (client) => kept(await databaseState(client, old))?.restore === id, signal);
};

/** Drops the kept copy of restore `id`. Done before is success. @throws inputInvalid when the copy belongs to another restore */
export const confirmInPlace = async (options: InPlaceOptions): Promise<string> => {
  const { connection, database, id } = options;
  const old = keptName(database);
  return withMaintenance(
    connection,
    [database, old],
    async (client) => {
      const state = await databaseState(client, old);
      if (state === undefined) return `${old} is gone already`;
      const mark = kept(state);
      if (mark?.restore !== id)
        throw new ResurgoError(
          'inputInvalid',
          mark === undefined
            ? `Database ${old} was not kept by a restore`
            : `Database ${old} is kept by restore ${mark.restore}, not ${id}`,
        );
      try {
        await dropDatabase(connection, client, old);
      } catch (error) {
        throw mapPostgresError(error, `dropping ${old}`, connection, 'destinationBusy');
      }
      return `${old} was dropped`;
    },
    options.signal,
  );
};

/**
 * Brings the kept copy back and keeps the restored database as `…_failed`. Done before is success.
 * @throws inputInvalid when there is no kept copy of this restore, destinationBusy
 */
export const rollbackInPlace = async (options: InPlaceOptions): Promise<{ failed?: string }> => {
  const { connection, database, id } = options;
  const old = keptName(database);
  return withMaintenance(
    connection,
    [database, old],
    async (client) => {
      let free: string | undefined;
      for (let n = 1; free === undefined; n++) {
        const state = await databaseState(client, failedName(database, n));
        const mark = parseCopyMark(state?.comment);
        if (mark?.kind === 'failed' && mark.restore === id && kept(await databaseState(client, old))?.restore !== id)
          return { failed: failedName(database, n) };
        if (state === undefined) free = failedName(database, n);
      }
      const failed = free;
      const mark = kept(await databaseState(client, old));
      if (mark?.restore !== id)
        throw new ResurgoError(
          'inputInvalid',
          `There is no kept copy of restore ${id} of ${database}: it was confirmed, or ${old} is another's`,
        );
      const live = await databaseState(client, database);
      if (live !== undefined) await allow(client, database, false);
      await renameTogether(
        client,
        live === undefined ? [old] : [database, old],
        async () => {
          if (live !== undefined) {
            await rename(client, database, failed);
            await setDatabaseComment(
              client,
              failed,
              copyMark({
                kind: 'failed',
                restore: id,
                database,
                at: new Date().toISOString(),
                ...(live.comment === null ? {} : { comment: live.comment }),
              }),
            );
            await allow(client, failed, true);
          }
          await rename(client, old, database);
          await setDatabaseComment(client, database, mark.comment);
          await allow(client, database, true);
        },
        `bringing ${old} back as ${database}`,
      ).catch(async (error: unknown) => {
        if (live !== undefined) await allow(client, database, true).catch(() => undefined);
        throw error;
      });
      return live === undefined ? {} : { failed };
    },
    options.signal,
  );
};

export interface LeftCopy {
  readonly name: string;
  readonly mark: CopyMark;
  readonly bytes: number;
}

/** Copies that restores left on a server (`kept` until confirmed, `failed` after a rollback), for headroom and warnings. */
export const leftCopies = async (connection: PostgresConnection, signal?: AbortSignal): Promise<LeftCopy[]> =>
  withMaintenance(
    connection,
    [],
    async (client) => {
      const { rows } = await client.query<{ name: string; comment: string | null; bytes: string }>(
        `select datname::text as name, shobj_description(oid, 'pg_database') as comment, pg_database_size(oid)::text as bytes from pg_database where datname ~ '_(old|failed\\d*)$'`,
      );
      return rows.flatMap(({ name, comment, bytes }) => {
        const mark = parseCopyMark(comment);
        return mark === undefined || mark.kind === 'restored' ? [] : [{ name, mark, bytes: Number(bytes) }];
      });
    },
    signal,
  );
