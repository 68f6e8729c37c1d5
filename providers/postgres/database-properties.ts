import type { DatabaseProperties } from '../../domain/backup.ts';
import type { PgClient } from './postgres-client.ts';
import { quoteIdent, quoteLiteral } from './quote.ts';

/** Settings whose stored value is a list of identifiers, quoted one by one; given as one literal it would become one name. */
const lists = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/** Splits `"$user", public` into its names, as the server does. */
export const splitNameList = (value: string): string[] => {
  const names: string[] = [];
  for (const match of value.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,"\s][^,"]*?))\s*(?:,|$)/g))
    names.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'));
  return names;
};

const settingSql = (assignment: string): string => {
  const at = assignment.indexOf('=');
  const [name, value] = [assignment.slice(0, at), assignment.slice(at + 1)];
  const quoted = name.split('.').map(quoteIdent).join('.');
  const words = lists.has(name) ? splitNameList(value) : [value];
  return `set ${quoted} to ${words.length === 0 ? "''" : words.map(quoteLiteral).join(', ')}`;
};

const attempt = async (client: PgClient, sql: string, what: string, warnings: string[]): Promise<void> => {
  try {
    await client.query(sql);
  } catch (error) {
    warnings.push(`${what} could not be restored: ${(error as Error).message}`);
  }
};

/** ALTER DATABASE … SET as recorded, instead of whatever is set. What the server refuses becomes a warning. */
export const applySettings = async (
  client: PgClient,
  database: string,
  properties: DatabaseProperties,
  scope: 'database' | 'roles',
): Promise<string[]> => {
  const warnings: string[] = [];
  const target = quoteIdent(database);
  for (const { role, values } of properties.settings) {
    if ((role === undefined) !== (scope === 'database')) continue;
    const whose =
      role === undefined ? `alter database ${target}` : `alter role ${quoteIdent(role)} in database ${target}`;
    for (const value of values)
      await attempt(
        client,
        `${whose} ${settingSql(value)}`,
        `Setting ${value.split('=')[0] ?? ''}${role === undefined ? '' : ` of role ${role}`}`,
        warnings,
      );
  }
  return warnings;
};

/** Owner, privileges, limit and settings of roles: everything about a database but its name and comment. Warnings for what the server refuses. */
export const applyProperties = async (
  client: PgClient,
  database: string,
  owner: string,
  properties: DatabaseProperties,
): Promise<string[]> => {
  const warnings: string[] = [];
  const target = quoteIdent(database);
  const run = (sql: string, what: string): Promise<void> => attempt(client, sql, what, warnings);
  await run(`alter database ${target} owner to ${quoteIdent(owner)}`, `Owner ${owner}`);
  await run(
    `alter database ${target} connection limit ${String(Math.max(-1, properties.connectionLimit))}`,
    'The connection limit',
  );
  if (properties.isTemplate) await run(`alter database ${target} is_template true`, 'The template mark');
  if (properties.privileges !== undefined) {
    await run(`revoke all on database ${target} from public`, 'Privileges of PUBLIC');
    for (const { grantee, privilege, grantable } of properties.privileges) {
      const word =
        privilege === 'TEMPORARY' || privilege === 'TEMP'
          ? 'temporary'
          : privilege === 'CREATE'
            ? 'create'
            : privilege === 'CONNECT'
              ? 'connect'
              : undefined;
      if (word === undefined) continue;
      await run(
        `grant ${word} on database ${target} to ${grantee === undefined ? 'public' : quoteIdent(grantee)}${grantable && grantee !== undefined ? ' with grant option' : ''}`,
        `Privilege ${privilege} of ${grantee ?? 'PUBLIC'}`,
      );
    }
  }
  warnings.push(...(await applySettings(client, database, properties, 'roles')));
  return warnings;
};

/** Takes away what {@link applyProperties} and {@link applySettings} set, so that other properties can be given. */
export const clearProperties = async (client: PgClient, database: string): Promise<void> => {
  const target = quoteIdent(database);
  await client.query(`alter database ${target} reset all`);
  const roles = await client.query<{ role: string }>(
    `select r.rolname as role from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where s.setdatabase = (select oid from pg_database where datname = $1)`,
    [database],
  );
  for (const { role } of roles.rows)
    await client.query(`alter role ${quoteIdent(role)} in database ${target} reset all`);
  const grantees = await client.query<{ grantee: string | null; owner: string }>(
    `select distinct r.rolname as grantee, pg_get_userbyid(d.datdba) as owner from pg_database d cross join lateral aclexplode(d.datacl) a left join pg_roles r on r.oid = a.grantee where d.datname = $1`,
    [database],
  );
  for (const { grantee } of grantees.rows)
    await client.query(
      `revoke all on database ${target} from ${grantee === null ? 'public' : quoteIdent(grantee)} cascade`,
    );
  if (grantees.rows[0] !== undefined) {
    // As a database without any privileges set: everything for the owner, these two for everybody.
    await client.query(`grant all on database ${target} to ${quoteIdent(grantees.rows[0].owner)}`);
    await client.query(`grant connect, temporary on database ${target} to public`);
  }
};

/** Sets or clears the comment. */
export const setDatabaseComment = async (
  client: PgClient,
  database: string,
  comment: string | undefined,
): Promise<void> => {
  await client.query(
    `comment on database ${quoteIdent(database)} is ${comment === undefined ? 'null' : quoteLiteral(comment)}`,
  );
};
