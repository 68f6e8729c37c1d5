import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { buildMark, parseBuildMark } from './create-database.ts';
import { applyProperties, applySettings, clearProperties, setDatabaseComment } from './database-properties.ts';
import { copyMark, parseCopyMark, type CopyMark } from './in-place-marks.ts';
import { failedName, keptName, workingName } from './in-place-names.ts';
import { readProperties } from './logical-facts.ts';
import { databaseState, dropDatabase, endSessions, withMaintenance, type DatabaseState } from './maintenance.ts';
import { mapPostgresError } from './postgres-error.ts';
import type { PgClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

export { failedName, keptName, workingName } from './in-place-names.ts';

export interface InPlaceOptions {
  readonly connection: PostgresConnection;
  /** The database in use, under its own name. */
  readonly database: string;
  /** The restore's id. */
  readonly id: string;
  readonly signal?: AbortSignal | undefined;
}

const remedy = (id: string): string => `Run \`resurgo restore confirm ${id}\` to drop it, or \`resurgo restore rollback ${id}\` to bring it back.`;

const kept = (state: DatabaseState | undefined): CopyMark | undefined => {
  const mark = parseCopyMark(state?.comment);
  return mark?.kind === 'kept' ? mark : undefined;
};

/**
 * Refuses when the place of the copy to keep is taken.
 * @throws destinationNotEmpty with the remedy
 */
export const assertNothingKept = async (client: PgClient, database: string, id: string): Promise<void> => {
  const name = keptName(database);
  const state = await databaseState(client, name);
  if (state === undefined) return;
  const mark = kept(state);
  if (mark?.restore === id) return;
  throw new ResurgoError('destinationNotEmpty', mark === undefined ? `Database ${name} exists, and is not ours: the old ${database} could not be kept under that name` : `Database ${name} is kept since restore ${mark.restore} of ${mark.at}, which was neither confirmed nor rolled back`, {
    details: { hint: mark === undefined ? `Rename or drop ${name}.` : remedy(mark.restore) },
  });
};

/** Runs renames in one transaction once nobody is in the databases; somebody who slips in is put out again. */
const renameTogether = async (client: PgClient, databases: readonly string[], statements: () => Promise<void>, what: string): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    await endSessions(client, databases);
    await client.query('begin');
    try {
      await statements();
      await client.query('commit');
      return;
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      if ((error as { code?: string }).code === '55006' && attempt < 10) continue;
      throw mapPostgresError(error, what, undefined, 'restoreFailed');
    }
  }
};

const rename = (client: PgClient, from: string, to: string): Promise<unknown> => client.query(`alter database ${quoteIdent(from)} rename to ${quoteIdent(to)}`);
const allow = (client: PgClient, name: string, allowed: boolean): Promise<unknown> => client.query(`alter database ${quoteIdent(name)} allow_connections ${String(allowed)}`);

/**
 * Swaps the database that restore `id` built for the one in use, which is kept. Both renames are one transaction: there is the old
 * or the new database under the name at any moment, never none for good. Owner, privileges, settings, limit and comment of the one in use
 * go over to the new. Can be called again after a crash at any point.
 * @returns the kept copy's name; undefined when there was none
 * @throws destinationNotEmpty, destinationBusy, restoreFailed
 */
export const swapIn = async (options: InPlaceOptions): Promise<{ kept?: string; warnings: string[] }> => {
  const { connection, database, id } = options;
  const [built, old] = [workingName(database, id), keptName(database)];
  return withMaintenance(connection, [database, built, old], async (client) => {
    const states = { live: await databaseState(client, database), built: await databaseState(client, built), old: await databaseState(client, old) };
    const warnings: string[] = [];
    if (kept(states.old)?.restore === id) return { kept: old, warnings }; // The transaction went through before.
    await assertNothingKept(client, database, id);
    const mark = parseBuildMark(states.built?.comment);
    if (states.built === undefined && parseCopyMark(states.live?.comment)?.restore === id) return { warnings };
    if (mark?.id !== id || mark.state !== 'built') throw new ResurgoError('restoreFailed', `Database ${built} ${states.built === undefined ? 'does not exist' : 'is not a finished build'} of restore ${id}`);
    if (mark.notes.partial === true) throw new ResurgoError('unsupported', `${built} holds only a part of ${database}; it cannot take its place`, { details: { hint: 'Restore it beside (--to) and move the tables over.' } });
    const live = await readProperties(client, database);
    if (states.live === undefined || live === undefined) {
      // Nothing to keep. Without a comment of its own the database says where it comes from, so that this can be undone.
      await renameTogether(client, [built], async () => {
        await rename(client, built, database);
        await setDatabaseComment(client, database, copyMark({ kind: 'restored', restore: id, database, at: new Date().toISOString() }));
      }, `taking ${built} into use as ${database}`);
      return { warnings };
    }
    await clearProperties(client, built);
    warnings.push(...(await applySettings(client, built, live.properties, 'database')), ...(await applyProperties(client, built, live.owner, live.properties)));
    const note = copyMark({ kind: 'kept', restore: id, database, at: new Date().toISOString(), ...(live.properties.comment === undefined ? {} : { comment: live.properties.comment }) });
    await allow(client, database, false);
    try {
      await renameTogether(client, [database, built], async () => {
        await rename(client, database, old);
        await rename(client, built, database);
        await setDatabaseComment(client, old, note);
        await setDatabaseComment(client, database, live.properties.comment);
      }, `swapping ${built} for ${database}`);
    } catch (error) {
      if ((await databaseState(client, built).catch(() => undefined)) !== undefined) await allow(client, database, true).catch(() => undefined);
      throw error;
    }
    return { kept: old, warnings };
  }, options.signal);
};

/**
 * Undoes {@link swapIn}, also one that was cut short: the old database is in use again, the built one has its working name.
 * @returns what was done, in words
 */
export const swapBack = async (options: InPlaceOptions): Promise<string> => {
  const { connection, database, id } = options;
  const [built, old] = [workingName(database, id), keptName(database)];
  return withMaintenance(connection, [database, built, old], async (client) => {
    const states = { live: await databaseState(client, database), built: await databaseState(client, built), old: await databaseState(client, old) };
    const mark = kept(states.old);
    if (mark?.restore === id) {
      if (states.live !== undefined) await allow(client, database, false);
      await renameTogether(client, states.live === undefined ? [old] : [database, old], async () => {
        if (states.live !== undefined) {
          await rename(client, database, built);
          await setDatabaseComment(client, built, buildMark(id, 'built'));
          await allow(client, built, true);
        }
        await rename(client, old, database);
        await setDatabaseComment(client, database, mark.comment);
        await allow(client, database, true);
      }, `bringing ${old} back as ${database}`);
      return `${old} is ${database} again`;
    }
    if (states.built === undefined && parseCopyMark(states.live?.comment)?.restore === id) {
      await renameTogether(client, [database], async () => {
        await rename(client, database, built);
        await setDatabaseComment(client, built, buildMark(id, 'built'));
      }, `taking ${database} out of use`);
      return `${database} did not exist before and is gone again`;
    }
    // Cut short between closing the door and the renames.
    if (states.live !== undefined && !states.live.allowsConnections) await allow(client, database, true);
    return 'nothing had been swapped';
  });
};

/** Drops the kept copy of restore `id`. Done before is success. @throws inputInvalid when the copy belongs to another restore */
export const confirmInPlace = async (options: InPlaceOptions): Promise<string> => {
  const { connection, database, id } = options;
  const old = keptName(database);
  return withMaintenance(connection, [database, old], async (client) => {
    const state = await databaseState(client, old);
    if (state === undefined) return `${old} is gone already`;
    const mark = kept(state);
    if (mark?.restore !== id) throw new ResurgoError('inputInvalid', mark === undefined ? `Database ${old} was not kept by a restore` : `Database ${old} is kept by restore ${mark.restore}, not ${id}`);
    try {
      await dropDatabase(client, old);
    } catch (error) {
      throw mapPostgresError(error, `dropping ${old}`, connection, 'destinationBusy');
    }
    return `${old} was dropped`;
  }, options.signal);
};

/**
 * Brings the kept copy back and keeps the restored database as `…_failed`. Done before is success.
 * @throws inputInvalid when there is no kept copy of this restore, destinationBusy
 */
export const rollbackInPlace = async (options: InPlaceOptions): Promise<{ failed?: string }> => {
  const { connection, database, id } = options;
  const old = keptName(database);
  return withMaintenance(connection, [database, old], async (client) => {
    let free: string | undefined;
    for (let n = 1; free === undefined; n++) {
      const state = await databaseState(client, failedName(database, n));
      const mark = parseCopyMark(state?.comment);
      if (mark?.kind === 'failed' && mark.restore === id && kept(await databaseState(client, old))?.restore !== id) return { failed: failedName(database, n) };
      if (state === undefined) free = failedName(database, n);
    }
    const failed = free;
    const mark = kept(await databaseState(client, old));
    if (mark?.restore !== id) throw new ResurgoError('inputInvalid', `There is no kept copy of restore ${id} of ${database}: it was confirmed, or ${old} is another's`);
    const live = await databaseState(client, database);
    if (live !== undefined) await allow(client, database, false);
    await renameTogether(client, live === undefined ? [old] : [database, old], async () => {
      if (live !== undefined) {
        await rename(client, database, failed);
        await setDatabaseComment(client, failed, copyMark({ kind: 'failed', restore: id, database, at: new Date().toISOString(), ...(live.comment === null ? {} : { comment: live.comment }) }));
        await allow(client, failed, true);
      }
      await rename(client, old, database);
      await setDatabaseComment(client, database, mark.comment);
      await allow(client, database, true);
    }, `bringing ${old} back as ${database}`).catch(async (error: unknown) => {
      if (live !== undefined) await allow(client, database, true).catch(() => undefined);
      throw error;
    });
    return live === undefined ? {} : { failed };
  }, options.signal);
};

export interface LeftCopy {
  readonly name: string;
  readonly mark: CopyMark;
  readonly bytes: number;
}

/** Copies that restores left on a server (`kept` until confirmed, `failed` after a rollback), for headroom and warnings. */
export const leftCopies = async (connection: PostgresConnection, signal?: AbortSignal): Promise<LeftCopy[]> =>
  withMaintenance(connection, [], async (client) => {
    const { rows } = await client.query<{ name: string; comment: string | null; bytes: string }>(
      `select datname::text as name, shobj_description(oid, 'pg_database') as comment, pg_database_size(oid)::text as bytes from pg_database where datname ~ '_(old|failed\\d*)$'`,
    );
    return rows.flatMap(({ name, comment, bytes }) => {
      const mark = parseCopyMark(comment);
      return mark === undefined || mark.kind === 'restored' ? [] : [{ name, mark, bytes: Number(bytes) }];
    });
  }, signal);
