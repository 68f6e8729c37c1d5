import type { PostgresConnection } from './connection.ts';
import { withClient } from './postgres-client.ts';

export interface ServerSettings {
  readonly version: string;
  /** What differs from PostgreSQL's defaults, and from where. */
  readonly settings: readonly { readonly name: string; readonly value: string; readonly unit: string | null; readonly source: string; readonly file: string | null }[];
  /** ALTER DATABASE … SET and ALTER ROLE … SET. */
  readonly overrides: readonly { readonly database: string | null; readonly role: string | null; readonly settings: readonly string[] }[];
  /** Rules of pg_hba.conf in order; null when the role may not read them. */
  readonly access: readonly Readonly<Record<string, unknown>>[] | null;
}

/** Settings of a server that its backup does not hold (logical), or that one wants to read without starting it. Passwords of `primary_conninfo` are left out. */
export const serverSettings = (connection: PostgresConnection): Promise<ServerSettings> =>
  withClient(connection, async (client) => {
    const version = await client.query<{ version: string }>('select version() as version');
    const settings = await client.query<ServerSettings['settings'][number]>(
      `select name, case when name = 'primary_conninfo' then regexp_replace(setting, 'password=(''[^'']*''|\\S+)', 'password=REMOVED', 'g') else setting end as value, unit, source, sourcefile as file
         from pg_settings where source not in ('default', 'override', 'session', 'client') order by name`);
    const overrides = await client.query<ServerSettings['overrides'][number]>(
      `select d.datname as database, r.rolname as role, s.setconfig as settings from pg_db_role_setting s
         left join pg_database d on d.oid = s.setdatabase left join pg_roles r on r.oid = s.setrole order by 1, 2`);
    const allowed = await client.query<{ may: boolean }>(`select has_table_privilege('pg_hba_file_rules', 'select') and has_function_privilege('pg_hba_file_rules()', 'execute') as may`);
    const access = allowed.rows[0]?.may === true
      ? (await client.query<Record<string, unknown>>('select type, database, user_name, address, netmask, auth_method, options, error from pg_hba_file_rules order by line_number')).rows
      : null;
    return { version: version.rows[0]?.version ?? '', settings: settings.rows, overrides: overrides.rows, access };
  });
