/** A monitor of the configuration as rules, with the defaults of its kind. */
import type { AlertType } from '../domain/alert.ts';
import type { Rule } from '../domain/monitor.ts';
import type { Severity } from '../domain/severity.ts';
import { monitorKinds, type MonitorConfig } from './schema-monitors.ts';

export const kindOfMonitor = (monitor: MonitorConfig): (typeof monitorKinds)[number] => monitorKinds.find((kind) => monitor[kind] !== undefined) ?? 'http';

const fiveMinutes = 5 * 60_000;
const severityOf: Readonly<Record<(typeof monitorKinds)[number], Severity>> = { http: 'high', postgres: 'critical', prometheus: 'high', host: 'high', ecs: 'high', rds: 'critical', route53: 'high', cloudwatch: 'high' };
const typeByKind: Readonly<Record<(typeof monitorKinds)[number], AlertType>> = { http: 'service', postgres: 'database', prometheus: 'service', host: 'host', ecs: 'service', rds: 'database', route53: 'network', cloudwatch: 'service' };

export const monitorType = (monitor: MonitorConfig): AlertType => monitor.type ?? typeByKind[kindOfMonitor(monitor)];

export function rulesOfMonitor(monitor: MonitorConfig): Rule[] {
  const kind = kindOfMonitor(monitor);
  const { name, every, above, below, clear, window, recoveries } = monitor;
  const failures = monitor.failures ?? (monitor.for === undefined ? 3 : 1);
  const severity = monitor.severity ?? severityOf[kind];
  const common = {
    severity, failures, recoveries, unknownAfterMs: Math.max(3 * every, 30_000),
    ...(clear === undefined ? {} : { clear }), ...(window === undefined ? {} : { windowMs: window }), ...(monitor.for === undefined ? {} : { forMs: monitor.for }),
  };
  const limits = { ...(above === undefined ? {} : { above }), ...(below === undefined ? {} : { below }) };
  switch (kind) {
    case 'http':
      return [
        { id: name, metric: 'reachable', states: true, ...common },
        { id: `${name}/slow`, metric: 'response time ms', states: false, ...common, above: above ?? 2000, failures: monitor.failures ?? 2, forMs: monitor.for ?? fiveMinutes },
      ];
    case 'host': {
      const metric = `${monitor.host ?? ''} %`;
      const usual = { metric, states: false, ...common, failures: monitor.failures ?? 2, forMs: monitor.for ?? fiveMinutes } as const;
      if (above !== undefined || below !== undefined) return [{ id: name, ...usual, ...limits }];
      if (monitor.host !== 'memory') return [{ id: name, ...usual, above: monitor.host === 'disk' ? 95 : 90, severity: monitor.severity ?? (monitor.host === 'disk' ? 'critical' : 'high') }];
      return [{ id: name, ...usual, above: 85 }, { id: `${name}/critical`, ...usual, above: 90, severity: monitor.severity ?? 'critical' }];
    }
    case 'postgres':
      return [{ id: name, metric: monitor.postgres?.lag === true ? 'replication lag s' : 'connection', states: true, ...common, ...(monitor.postgres?.lag === true ? { above: above ?? 30, ...(below === undefined ? {} : { below }) } : limits) }];
    default:
      return [{ id: name, metric: kind === 'ecs' ? 'running tasks' : kind === 'rds' ? 'status' : kind === 'route53' ? 'health check' : kind === 'cloudwatch' ? (monitor.cloudwatch?.metric ?? '') : (monitor.prometheus?.query ?? '').slice(0, 200), states: true, ...common, ...limits }];
  }
}
