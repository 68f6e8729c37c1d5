import { ResurgoError } from '../../domain/errors.ts';
import { buildMark, parseBuildMark } from './create-database.ts';
import { applyProperties, applySettings, clearProperties, setDatabaseComment } from './database-properties.ts';
import { copyMark, parseCopyMark } from './in-place-marks.ts';
import { keptName, workingName } from './in-place-names.ts';
import { allow, assertNothingKept, kept, rename, renameTogether, type InPlaceOptions } from './in-place-steps.ts';
import { readProperties } from './logical-facts.ts';
import { databaseState, withMaintenance } from './maintenance.ts';

export { confirmInPlace, keepsInPlace, leftCopies, rollbackInPlace, type LeftCopy } from './in-place-finish.ts';
export { failedName, keptName, workingName } from './in-place-names.ts';
export { assertNothingKept, type InPlaceOptions } from './in-place-steps.ts';

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
  return withMaintenance(
    connection,
    [database, built, old],
    async (client) => {
      const states = {
        live: await databaseState(client, database),
        built: await databaseState(client, built),
        old: await databaseState(client, old),
      };
      const warnings: string[] = [];
      if (kept(states.old)?.restore === id) return { kept: old, warnings }; // The transaction went through before.
      await assertNothingKept(client, database, id);
      const mark = parseBuildMark(states.built?.comment);
      if (states.built === undefined && parseCopyMark(states.live?.comment)?.restore === id) return { warnings };
      if (mark?.id !== id || mark.state !== 'built')
        throw new ResurgoError(
          'restoreFailed',
          `Database ${built} ${states.built === undefined ? 'does not exist' : 'is not a finished build'} of restore ${id}`,
        );
      if (mark.notes.partial === true)
        throw new ResurgoError('unsupported', `${built} holds only a part of ${database}; it cannot take its place`, {
          details: { hint: 'Restore it beside (--to) and move the tables over.' },
        });
      const live = await readProperties(client, database);
      if (states.live === undefined || live === undefined) {
        // Nothing to keep. Without a comment of its own the database says where it comes from, so that this can be undone.
        await renameTogether(
          client,
          [built],
          async () => {
            await rename(client, built, database);
            await setDatabaseComment(
              client,
              database,
              copyMark({ kind: 'restored', restore: id, database, at: new Date().toISOString() }),
            );
          },
          `taking ${built} into use as ${database}`,
        );
        return { warnings };
      }
      await clearProperties(client, built);
      warnings.push(
        ...(await applySettings(client, built, live.properties, 'database')),
        ...(await applyProperties(client, built, live.owner, live.properties)),
      );
      const note = copyMark({
        kind: 'kept',
        restore: id,
        database,
        at: new Date().toISOString(),
        ...(live.properties.comment === undefined ? {} : { comment: live.properties.comment }),
      });
      await allow(client, database, false);
      try {
        await renameTogether(
          client,
          [database, built],
          async () => {
            await rename(client, database, old);
            await rename(client, built, database);
            await setDatabaseComment(client, old, note);
            await setDatabaseComment(client, database, live.properties.comment);
          },
          `swapping ${built} for ${database}`,
        );
      } catch (error) {
        if ((await databaseState(client, built).catch(() => undefined)) !== undefined)
          await allow(client, database, true).catch(() => undefined);
        throw error;
      }
      return { kept: old, warnings };
    },
    options.signal,
  );
};

/**
 * Undoes {@link swapIn}, also one that was cut short: the old database is in use again, the built one has its working name.
 * @returns what was done, in words
 */
export const swapBack = async (options: InPlaceOptions): Promise<string> => {
  const { connection, database, id } = options;
  const [built, old] = [workingName(database, id), keptName(database)];
  return withMaintenance(connection, [database, built, old], async (client) => {
    const states = {
      live: await databaseState(client, database),
      built: await databaseState(client, built),
      old: await databaseState(client, old),
    };
    const mark = kept(states.old);
    if (mark?.restore === id) {
      if (states.live !== undefined) await allow(client, database, false);
      await renameTogether(
        client,
        states.live === undefined ? [old] : [database, old],
        async () => {
          if (states.live !== undefined) {
            await rename(client, database, built);
            await setDatabaseComment(client, built, buildMark(id, 'built'));
            await allow(client, built, true);
          }
          await rename(client, old, database);
          await setDatabaseComment(client, database, mark.comment);
          await allow(client, database, true);
        },
        `bringing ${old} back as ${database}`,
      );
      return `${old} is ${database} again`;
    }
    if (states.built === undefined && parseCopyMark(states.live?.comment)?.restore === id) {
      await renameTogether(
        client,
        [database],
        async () => {
          await rename(client, database, built);
          await setDatabaseComment(client, built, buildMark(id, 'built'));
        },
        `taking ${database} out of use`,
      );
      return `${database} did not exist before and is gone again`;
    }
    // Cut short between closing the door and the renames.
    if (states.live !== undefined && !states.live.allowsConnections) await allow(client, database, true);
    return 'nothing had been swapped';
  });
};
