/**
 * What every session of ours is given in its startup packet. ALTER DATABASE and ALTER ROLE … SET belong to the owner of the database, who need not be
 * a friend: a search path of theirs lets operators and functions of theirs run as us, a statement_timeout fails the statement that would have set it
 * back. Only what the client itself asks for at the start is stronger than both, and is there before the first statement.
 */
const neutral = {
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  default_transaction_isolation: 'read committed',
  row_security: 'on',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  xmloption: 'content',
  extra_float_digits: '1',
  client_min_messages: 'notice',
  standard_conforming_strings: 'on',
} as const;

/** How names are resolved and dates are read: what a query of somebody else's depends on. pg_temp is searched first unless it is named. */
const reading = { search_path: 'pg_catalog,pg_temp', DateStyle: 'ISO,YMD' } as const;

/** What the server reports of {@link reading} when it has taken it; its own default is another one. A pooler may drop what it does not know. */
export const takenDateStyle = 'ISO, YMD';

/** Of PostgreSQL 17 and later; older servers refuse a session that asks for it. */
const newer = { transaction_timeout: '0' } as const;

const asOptions = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings).map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\ ]/g, '\\$&')}`).join(' ');

export interface SessionOptions {
  /** The user's own, from the connection; what is ours is stronger. */
  readonly before?: string | undefined;
  /** Whether queries of somebody else run in the session, too: names and dates are then as the database and the role have them; see {@link pinReading}. */
  readonly theirs?: boolean;
  /** Whether the server knows what only PostgreSQL 17 and later do. */
  readonly newer?: boolean;
  /** Whether the role is known to be a superuser there. */
  readonly superuser?: boolean;
}

/** The `options` of a startup packet. */
export const sessionOptions = ({ before, theirs = false, newer: isNewer = false, superuser = false }: SessionOptions): string =>
  [before, asOptions({ ...neutral, ...(isNewer ? newer : {}), ...(isNewer && superuser ? quiet : {}), ...(theirs ? {} : reading) })].filter(Boolean).join(' ');

/**
 * First statements of a session in which queries of somebody else are to run. They resolve no name. Given in the startup packet the path could not be
 * set back to that of the database. Dates are read in the order the database has, and written so that we can read them.
 */
export const pinReading = `set search_path = pg_catalog, pg_temp; set DateStyle = 'ISO'`;

/** The server's word for a setting it does not have, for one of {@link newer}. */
export const lacksNewer = (error: unknown): boolean =>
  (error as { code?: unknown } | undefined)?.code === '42704' && String((error as { message?: unknown }).message).includes('transaction_timeout');

/** For superusers of PostgreSQL 17 and later: triggers of a database on logins and on commands run for its users, not for those who take it away or bring it back. */
const quiet = { event_triggers: 'off' } as const;

/** Whether a server (`host:port`) has the settings of PostgreSQL 17, as its last session told. Tools cannot try twice, so they ask here. */
const known = new Map<string, boolean>();
export const knowsNewer = (server: string): boolean | undefined => known.get(server);
export const noteNewer = (server: string, knows: boolean): void => void known.set(server, knows);

/** Whether a role of a server (`user@host:port`) is a superuser, as its last session told. */
const superusers = new Map<string, boolean>();
export const knowsSuperuser = (login: string): boolean => superusers.get(login) === true;
export const noteSuperuser = (login: string, is: boolean): void => void superusers.set(login, is);

/** The server's word for a setting that the role may not have (any more). */
export const refusesQuiet = (error: unknown): boolean =>
  (error as { code?: unknown } | undefined)?.code === '42501' && String((error as { message?: unknown }).message).includes('event_triggers');
