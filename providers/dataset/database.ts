/** Databases that a restore of data sets makes for itself: marked by their comment until they are settled. */
import { buildMark, parseBuildMark } from '../postgres/create-database.ts';
import { databaseState, dropDatabase, withMaintenance } from '../postgres/maintenance.ts';
import { quoteIdent, quoteLiteral } from '../postgres/quote.ts';
import type { Place } from './stage.ts';

/** Effect: the database is there. One that was there before is left as it is. */
export async function createPlainDatabase({ connection, database, id }: Place): Promise<void> {
  await withMaintenance(connection, [database], async (client) => {
    if ((await databaseState(client, database)) !== undefined) return;
    await client.query(`create database ${quoteIdent(database)}`);
    await client.query(`comment on database ${quoteIdent(database)} is ${quoteLiteral(buildMark(id, 'unfinished'))}`);
  });
}

/** Whether this very restore made it, and it is not settled. */
export const ownDatabase = ({ connection, database, id }: Place): Promise<boolean> =>
  withMaintenance(connection, [database], async (client) => parseBuildMark((await databaseState(client, database))?.comment)?.id === id);

export const dropOwnDatabase = ({ connection, database }: Place): Promise<void> => withMaintenance(connection, [database], (client) => dropDatabase(connection, client, database));

/** From now on it is nobody's but the user's. */
export async function keepDatabase(place: Place): Promise<void> {
  if (!(await ownDatabase(place))) return;
  await withMaintenance(place.connection, [place.database], (client) => client.query(`comment on database ${quoteIdent(place.database)} is null`));
}
