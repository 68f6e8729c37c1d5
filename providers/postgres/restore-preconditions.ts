import type { LogicalFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { majorOf } from './logical-tools.ts';
import type { PgClient } from './postgres-client.ts';
import { quoteIdent } from './quote.ts';

export type GlobalsPolicy = 'create-missing' | 'skip';

const missingOf = async (client: PgClient, names: readonly string[], query: string): Promise<string[]> => {
  const { rows } = await client.query<{ name: string }>(query, [names]);
  const found = new Set(rows.map((row) => row.name));
  return names.filter((name) => !found.has(name));
};

/**
 * What the destination server must have before anything is created there: version, extensions, roles.
 * Roles that own or may use something in the database and are missing are created without login (`create-missing`).
 * @returns warnings, and whether the backup's tablespaces are all there
 * @throws sourceVersion, extensionMissing, roleMissing
 */
export const meetPreconditions = async (
  client: PgClient,
  facts: LogicalFacts,
  globals: GlobalsPolicy,
): Promise<{ warnings: string[]; tablespaces: boolean }> => {
  const warnings: string[] = [];
  const server =
    (await client.query<{ version: string }>(`select current_setting('server_version') as version`)).rows[0]?.version ??
    '';
  if (facts.serverVersion !== undefined && majorOf(server) < majorOf(facts.serverVersion)) {
    throw new ResurgoError(
      'sourceVersion',
      `The backup is of PostgreSQL ${facts.serverVersion}, the destination is ${server}: a dump is not restored into an older server`,
      {
        details: { hint: `Restore into PostgreSQL ${String(majorOf(facts.serverVersion))} or later.` },
      },
    );
  }
  const lacking = await missingOf(
    client,
    facts.extensions.map((extension) => extension.name),
    'select name::text as name from pg_available_extensions where name = any($1::name[])',
  );
  if (lacking.length > 0)
    throw new ResurgoError(
      'extensionMissing',
      `The destination server lacks the extension${lacking.length > 1 ? 's' : ''} ${lacking.join(', ')} that database ${facts.database} uses`,
    );
  const roles = await missingOf(
    client,
    [...new Set([facts.owner, ...(facts.roles ?? [])])],
    'select rolname::text as name from pg_roles where rolname = any($1::name[])',
  );
  if (roles.length > 0 && globals === 'skip')
    throw new ResurgoError('roleMissing', `The destination server lacks the roles ${roles.join(', ')}`);
  for (const role of roles) {
    try {
      await client.query(`create role ${quoteIdent(role)} nologin`);
    } catch (error) {
      if ((error as { code?: string }).code === '42710') continue; // Someone was faster.
      throw new ResurgoError(
        'roleMissing',
        `The destination server lacks role ${role}, and it could not be created: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }
  if (roles.length > 0)
    warnings.push(
      `Created without login: role${roles.length > 1 ? 's' : ''} ${roles.join(', ')}; their attributes are in globals.sql of the backup.`,
    );
  const tablespaces = await missingOf(
    client,
    facts.tablespaces ?? [],
    'select spcname::text as name from pg_tablespace where spcname = any($1::name[])',
  );
  if (tablespaces.length > 0)
    warnings.push(`The destination has no tablespace ${tablespaces.join(', ')}; everything is in the default one.`);
  return { warnings, tablespaces: tablespaces.length === 0 };
};
