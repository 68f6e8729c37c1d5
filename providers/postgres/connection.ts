import os from 'node:os';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ClientConfig } from 'pg';
import { ResurgoError } from '../../domain/errors.ts';
import { knowsNewer, knowsSuperuser, sessionOptions } from './session-settings.ts';

export { openClient, withClient } from './postgres-client.ts';
export { mapPostgresError } from './postgres-error.ts';
export { quoteIdent, quoteLiteral } from './quote.ts';

export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export interface ConnectionOverrides {
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly sslmode?: SslMode;
  readonly applicationName?: string;
  /** Default 15 000. */
  readonly connectTimeoutMs?: number;
}

/** A PostgreSQL server and login, resolved once; every consumer (driver or libpq tool) derives its form from it. */
export interface PostgresConnection {
  /** Host name, address (IPv6 without brackets) or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly sslmode: SslMode;
  /** `user@host:port/database`; carries no secret. */
  readonly redacted: string;
  /**
   * Configuration for `pg`; `tls` says which of the two tries of `allow`/`prefer` it is for, `theirs` and `newer` what the startup packet asks for
   * ({@link sessionOptions}); `bare`: for nothing of ours.
   */
  clientConfig(
    database?: string,
    options?: { tls?: boolean; replication?: 'true' | 'database'; theirs?: boolean; newer?: boolean; superuser?: boolean; bare?: boolean },
  ): ClientConfig;
  /** Environment for libpq tools: secrets travel here and never in argv, and so do our settings. Merge over a minimal environment. */
  toolEnv(database?: string): Record<string, string>;
}

const sslModes: readonly string[] = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];
const known = new Set([
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'connect_timeout',
  'application_name',
  'options',
  'client_encoding',
  'fallback_application_name',
]);

const trailingQuery = new RegExp(`\\?((?:${[...known].join('|')})=[^&]*(?:&(?:${[...known].join('|')})=[^&]*)*)$`);

const invalid = (message: string): never => {
  throw new ResurgoError('configInvalid', message, {
    details: { hint: 'Write postgres://user@host:5432/database, the password by reference beside it.' },
  });
};

const isLocal = (host: string): boolean =>
  host.startsWith('/') || host === 'localhost' || host === '::1' || host.startsWith('127.');

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return invalid(`The ${what} of the connection URL has a broken %-escape.`);
  }
}

/** Passwords hold `/`, `#`, `@` and `?` unescaped more often than not, so the URL is split by hand, at the last `@` that can end a login. */
function parseUrl(url: string): Map<string, string> {
  const match = /^postgres(?:ql)?:\/\/([^]*)$/.exec(url.trim());
  if (!match) return invalid('A PostgreSQL connection must begin with postgres:// or postgresql://.');
  const rest = match[1] ?? '';
  // A password may hold `?` and a parameter `@`: what ends in known parameters is the query, the last `@` before it ends the login.
  const query = trailingQuery.exec(rest)?.[1];
  const front = query === undefined ? rest : rest.slice(0, -query.length - 1);
  const at = front.lastIndexOf('@');
  const values = new Map<string, string>();
  if (at >= 0) {
    const login = rest.slice(0, at);
    const colon = login.indexOf(':');
    const user = decode(colon < 0 ? login : login.slice(0, colon), 'user');
    if (user) values.set('user', user);
    if (colon >= 0) values.set('password', decode(login.slice(colon + 1), 'password'));
  }
  const [place = '', other] = split(front.slice(at + 1), '?');
  const [address = '', path = ''] = split(place, '/');
  if (address.includes(',')) return invalid('A connection names one server; list further ones under `standbys`.');
  const parsed = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]]*))(?::(\d*))?$/.exec(address);
  if (!parsed) return invalid(`The address ${JSON.stringify(address)} of the connection is not host:port.`);
  const host = parsed[1] ?? decode(parsed[2] ?? '', 'host');
  if (host) values.set('host', host);
  if (parsed[3]) values.set('port', parsed[3]);
  if (path) values.set('dbname', decode(path, 'database'));
  for (const pair of (query ?? other ?? '').split('&').filter(Boolean)) {
    const [key = '', value = ''] = split(pair, '=');
    if (!known.has(key))
      return invalid(
        `The connection has the unknown parameter ${JSON.stringify(key)}; known are ${[...known].join(', ')}.`,
      );
    values.set(key, decode(value, key));
  }
  return values;
}

const split = (text: string, mark: string): string[] => {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
};

function tlsOptions(mode: SslMode, host: string, values: Map<string, string>): NonNullable<ClientConfig['ssl']> {
  const file = (key: string): Buffer | undefined => {
    const path = values.get(key);
    if (path === undefined) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      throw new ResurgoError('configInvalid', `The ${key} ${path} of the connection cannot be read.`, { cause: error });
    }
  };
  const ca = file('sslrootcert');
  const cert = file('sslcert');
  const key = file('sslkey');
  const verify = mode === 'verify-ca' || mode === 'verify-full' || (mode === 'require' && ca !== undefined);
  return {
    rejectUnauthorized: verify,
    // libpq: only verify-full compares the name; `undefined` from the check means "fits".
    ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(isIP(host) ? {} : { servername: host }),
  };
}

function startup(before: string | undefined, { bare, theirs, newer, superuser }: { bare?: boolean; theirs?: boolean; newer?: boolean; superuser?: boolean }): { options?: string } {
  if (bare === true) return before === undefined ? {} : { options: before };
  return { options: sessionOptions({ before, theirs: theirs === true, newer: newer === true, superuser: superuser === true }) };
}

/** What the driver reads by itself when there is no password: tools must log in as it does, or a restore fails after its check was well. */
function inheritedLogin(): Record<string, string> {
  const names = ['PGPASSWORD', 'PGPASSFILE'] as const;
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

/**
 * Reads a connection URL as libpq does. Unix sockets: `postgres:///db?host=/run/postgresql` or `postgres://%2Frun%2Fpostgresql/db`.
 * Without an `sslmode`, local servers are tried in plain text first (`allow`) and others with TLS first (`prefer`).
 * @throws configInvalid
 */
export function resolveConnection(url: string, overrides: ConnectionOverrides = {}): PostgresConnection {
  const values = parseUrl(url);
  const host = values.get('host') ?? 'localhost';
  const port = Number(values.get('port') ?? 5432);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    invalid(`The port ${values.get('port')} of the connection is not a port.`);
  const user = overrides.user ?? values.get('user') ?? os.userInfo().username;
  const password = overrides.password ?? values.get('password');
  const database = overrides.database ?? values.get('dbname') ?? user;
  const sslmode = overrides.sslmode ?? values.get('sslmode') ?? (isLocal(host) ? 'allow' : 'prefer');
  if (!sslModes.includes(sslmode)) invalid(`The sslmode ${JSON.stringify(sslmode)} is none of ${sslModes.join(', ')}.`);
  const mode: SslMode = host.startsWith('/') ? 'disable' : (sslmode as SslMode);
  const applicationName = overrides.applicationName ?? values.get('application_name') ?? 'resurgo';
  const seconds = Number(values.get('connect_timeout') ?? 15);
  const timeout = overrides.connectTimeoutMs ?? (seconds > 0 ? seconds * 1000 : 15_000);
  const shownHost = host.includes(':') ? `[${host}]` : host;

  const clientConfig: PostgresConnection['clientConfig'] = (db = database, options = {}) => ({
    host,
    port,
    user,
    database: db,
    // Without one the driver reads PGPASSWORD, else the password file; so do the tools, see toolEnv.
    ...(password === undefined ? {} : { password }),
    ssl: mode !== 'disable' && (options.tls ?? mode !== 'allow') ? tlsOptions(mode, host, values) : false,
    application_name: applicationName,
    connectionTimeoutMillis: timeout,
    keepAlive: true,
    // The driver takes PGOPTIONS only where it is given none.
    ...startup(values.get('options') ?? process.env['PGOPTIONS'], options),
    ...(options.replication === undefined ? {} : { replication: options.replication }),
  });

  const toolEnv: PostgresConnection['toolEnv'] = (db = database) => {
    const env: Record<string, string> = {
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGDATABASE: db,
      PGSSLMODE: mode,
      PGAPPNAME: applicationName,
      PGCONNECT_TIMEOUT: String(Math.max(2, Math.ceil(timeout / 1000))),
      PGOPTIONS: sessionOptions({ before: values.get('options'), newer: knowsNewer(`${host}:${port}`) === true, superuser: knowsSuperuser(`${user}@${host}:${String(port)}`) }),
    };
    if (password !== undefined) env['PGPASSWORD'] = password;
    else Object.assign(env, inheritedLogin());
    for (const [key, name] of [
      ['sslrootcert', 'PGSSLROOTCERT'],
      ['sslcert', 'PGSSLCERT'],
      ['sslkey', 'PGSSLKEY'],
    ] as const) {
      const value = values.get(key);
      if (value !== undefined) env[name] = value;
    }
    return env;
  };

  return {
    host,
    port,
    user,
    database,
    sslmode: mode,
    redacted: `${user}@${shownHost}:${port}/${database}`,
    clientConfig,
    toolEnv,
  };
}
