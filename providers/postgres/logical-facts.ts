import type { DatabaseProperties, LogicalFacts } from '../../domain/backup.ts';
import type { PgClient } from './postgres-client.ts';

export interface CataloguedTable {
  readonly schema: string;
  readonly name: string;
  /** Table, TOAST and maps on disk, bytes. */
  readonly diskBytes: number;
  readonly ofExtension: boolean;
  /** Changes when the table is truncated or rewritten. */
  readonly storage: string;
}

/** Facts from the catalogue, all from the session's own snapshot. */
export interface DatabaseFacts {
  readonly database: Omit<LogicalFacts, 'engine' | 'tables' | 'largeObjects' | 'only'>;
  /** By oid: what a dump's TABLE DATA entries refer to. */
  readonly tables: ReadonlyMap<number, CataloguedTable>;
  /** Bytes of pg_largeobject on disk. */
  readonly largeObjectBytes: number;
}

const providers: Readonly<Record<string, string>> = { c: 'libc', i: 'icu', b: 'builtin' };

/** Columns of pg_database differ by version; as JSON the absent ones are simply undefined. */
interface DatabaseRow {
  readonly [column: string]: unknown;
  readonly datcollate: string;
  readonly datctype: string;
  readonly datconnlimit: number;
  readonly datistemplate: boolean;
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** Properties of any database of the server, by name; these catalogues are shared. */
export const readProperties = async (
  client: PgClient,
  database: string,
): Promise<{ owner: string; properties: DatabaseProperties } | undefined> => {
  const one = await client.query<{ row: DatabaseRow; owner: string; tablespace: string; comment: string | null }>(
    `select to_jsonb(d) as row, pg_get_userbyid(d.datdba) as owner, t.spcname as tablespace, shobj_description(d.oid, 'pg_database') as comment
       from pg_database d join pg_tablespace t on t.oid = d.dattablespace where d.datname = $1`,
    [database],
  );
  if (one.rows[0] === undefined) return undefined;
  const { row, owner, tablespace, comment } = one.rows[0];
  const settings = await client.query<{ role: string | null; setconfig: string[] }>(
    `select r.rolname as role, s.setconfig from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
      where s.setdatabase = (select oid from pg_database where datname = $1) order by 1 nulls first`,
    [database],
  );
  const privileges = await client.query<{
    has: boolean;
    grantee: string | null;
    privilege: string | null;
    grantable: boolean;
  }>(
    `select d.datacl is not null as has, r.rolname as grantee, a.privilege_type as privilege, a.is_grantable as grantable
       from pg_database d left join lateral aclexplode(d.datacl) a on true left join pg_roles r on r.oid = a.grantee
      where d.datname = $1 order by 2, 3`,
    [database],
  );
  const icuRules = text(row['daticurules']);
  const collationVersion = text(row['datcollversion']);
  const properties: DatabaseProperties = {
    connectionLimit: row.datconnlimit,
    isTemplate: row.datistemplate,
    tablespace,
    ...(icuRules === undefined ? {} : { icuRules }),
    ...(collationVersion === undefined ? {} : { collationVersion }),
    ...(comment === null ? {} : { comment }),
    settings: settings.rows.map(({ role, setconfig }) => ({ ...(role === null ? {} : { role }), values: setconfig })),
    ...(privileges.rows[0]?.has === true
      ? {
          privileges: privileges.rows.flatMap(({ grantee, privilege, grantable }) =>
            privilege === null ? [] : [{ ...(grantee === null ? {} : { grantee }), privilege, grantable }],
          ),
        }
      : {}),
  };
  return { owner, properties };
};

/** ACL grantees and owners are in pg_shdepend, except the bootstrap superuser (10), which needs no entry there. */
const rolesQuery = `select distinct rolname from pg_roles r where rolname !~ '^pg_' and (r.oid = 10
  or r.oid in (select refobjid from pg_shdepend where refclassid = 'pg_authid'::regclass
     and (dbid = (select oid from pg_database where datname = current_database())
       or (classid = 'pg_database'::regclass and objid = (select oid from pg_database where datname = current_database())))))
  order by 1`;

/** The properties of the session's database alone: what a copy of it needs to be like it. */
export const readDatabase = async (client: PgClient): Promise<DatabaseFacts['database']> => {
  const one = await client.query<{
    row: DatabaseRow;
    database: string;
    encoding: string;
    version: string;
    at: string;
    lsn: string | null;
  }>(
    `select to_jsonb(d) as row, d.datname as database, pg_encoding_to_char(d.encoding) as encoding, current_setting('server_version') as version,
            to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
            (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text as lsn
       from pg_database d where d.datname = current_database()`,
  );
  const found = one.rows[0];
  if (found === undefined) throw new Error('pg_database has no row for the current database');
  const { row } = found;
  const named = await readProperties(client, found.database);
  if (named === undefined) throw new Error('pg_database has no row for the current database');
  const extensions = await client.query<{ name: string; version: string }>(
    'select extname as name, extversion as version from pg_extension order by 1',
  );
  const roles = await client.query<{ rolname: string }>(rolesQuery);
  const tablespaces = await client.query<{ spcname: string }>(
    `select distinct spcname from pg_class c join pg_tablespace t on t.oid = c.reltablespace where spcname not in ('pg_default', 'pg_global') order by 1`,
  );
  const locale = text(row['datlocale'] ?? row['daticulocale']);
  return {
    database: found.database,
    encoding: found.encoding,
    collate: row.datcollate,
    ctype: row.datctype,
    localeProvider: providers[text(row['datlocprovider']) ?? 'c'] ?? 'libc',
    ...(locale === undefined ? {} : { locale }),
    owner: named.owner,
    extensions: extensions.rows,
    properties: named.properties,
    roles: roles.rows.map((each) => each.rolname),
    tablespaces: tablespaces.rows.map((each) => each.spcname),
    serverVersion: found.version.split(' ')[0] as string,
    snapshot: { at: found.at, ...(found.lsn === null ? {} : { lsn: found.lsn }) },
  };
};

/** All facts a dump is described by. */
export const readDatabaseFacts = async (client: PgClient): Promise<DatabaseFacts> => {
  const database = await readDatabase(client);
  const tables = await client.query<{
    oid: number;
    schema: string;
    name: string;
    bytes: string | null;
    extension: boolean;
    storage: string;
  }>(
    `select c.oid::bigint::float8 as oid, n.nspname as schema, c.relname as name, pg_table_size(c.oid) as bytes, c.relfilenode::text as storage,
            exists (select 1 from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') as extension
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'f', 'm', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relpersistence <> 't'`,
  );
  const large = await client.query<{ bytes: string }>(`select pg_table_size('pg_largeobject') as bytes`);
  return {
    database,
    tables: new Map(
      tables.rows.map(({ oid, schema, name, bytes, extension, storage }) => [
        oid,
        { schema, name, diskBytes: Number(bytes ?? 0), ofExtension: extension, storage },
      ]),
    ),
    largeObjectBytes: Number(large.rows[0]?.bytes ?? 0),
  };
};
