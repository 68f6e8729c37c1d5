/** What a monitor looks at, with its secrets resolved; structurally the provider's `Look`. */
import type { MonitorConfig } from './schema-monitors.ts';
import { resolveSecret } from './secret.ts';

const given = <T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } => Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as never;

/** @throws configInvalid, configUnsafe when a secret cannot be read */
export function lookOf(monitor: MonitorConfig, env?: NodeJS.ProcessEnv) {
  const at = `monitors.${monitor.name}`;
  if (monitor.http !== undefined) {
    const { url, status, contains, token } = monitor.http;
    return given({ kind: 'http' as const, url, status, contains, token: token === undefined ? undefined : resolveSecret(token, `${at}.http.token`, env) });
  }
  if (monitor.postgres !== undefined) {
    const { connection, password, lag } = monitor.postgres;
    return given({ kind: 'postgres' as const, url: resolveSecret(connection, `${at}.postgres.connection`, env), password: password === undefined ? undefined : resolveSecret(password, `${at}.postgres.password`, env), lag });
  }
  if (monitor.prometheus !== undefined) {
    const { url, query, token } = monitor.prometheus;
    return given({ kind: 'prometheus' as const, url, query, below: monitor.below !== undefined && monitor.above === undefined, token: token === undefined ? undefined : resolveSecret(token, `${at}.prometheus.token`, env) });
  }
  if (monitor.ecs !== undefined) return given({ kind: 'ecs' as const, ...monitor.ecs });
  if (monitor.rds !== undefined) return given({ kind: 'rds' as const, ...monitor.rds });
  if (monitor.route53 !== undefined) return given({ kind: 'route53' as const, ...monitor.route53 });
  if (monitor.cloudwatch !== undefined) {
    const { period, dimensions, ...rest } = monitor.cloudwatch;
    return given({ kind: 'cloudwatch' as const, ...rest, dimensions: dimensions ?? {}, periodMs: period });
  }
  return { kind: 'host' as const, what: monitor.host ?? ('cpu' as const), path: monitor.path ?? '/', id: monitor.name };
}
