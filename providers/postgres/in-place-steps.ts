import { ResurgoError } from '../../domain/errors.ts';
import type { PostgresConnection } from './connection.ts';
import { parseCopyMark, type CopyMark } from './in-place-marks.ts';
import { keptName } from './in-place-names.ts';
import { databaseState, endSessions, type DatabaseState } from './maintenance.ts';
import type { PgClient } from './postgres-client.ts';
import { mapPostgresError } from './postgres-error.ts';
import { quoteIdent } from './quote.ts';

export interface InPlaceOptions {
  readonly connection: PostgresConnection;
  /** The database in use, under its own name. */
  readonly database: string;
  /** The restore's id. */
  readonly id: string;
  readonly signal?: AbortSignal | undefined;
}

const remedy = (id: string): string =>
  `Run \`resurgo restore confirm ${id}\` to drop it, or \`resurgo restore rollback ${id}\` to bring it back.`;

/** The mark of a copy that is kept until it is confirmed. */
export const kept = (state: DatabaseState | undefined): CopyMark | undefined => {
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
  throw new ResurgoError(
    'destinationNotEmpty',
    mark === undefined
      ? `Database ${name} exists, and is not ours: the old ${database} could not be kept under that name`
      : `Database ${name} is kept since restore ${mark.restore} of ${mark.at}, which was neither confirmed nor rolled back`,
    {
      details: { hint: mark === undefined ? `Rename or drop ${name}.` : remedy(mark.restore) },
    },
  );
};

/** Runs renames in one transaction once nobody is in the databases; somebody who slips in is put out again. */
export const renameTogether = async (
  client: PgClient,
  databases: readonly string[],
  statements: () => Promise<void>,
  what: string,
): Promise<void> => {
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

export const rename = (client: PgClient, from: string, to: string): Promise<unknown> =>
  client.query(`alter database ${quoteIdent(from)} rename to ${quoteIdent(to)}`);
export const allow = (client: PgClient, name: string, allowed: boolean): Promise<unknown> =>
  client.query(`alter database ${quoteIdent(name)} allow_connections ${String(allowed)}`);
