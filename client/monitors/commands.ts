/** `resurgo monitor …` */
import { monitorType, rulesOfMonitor } from '../../config/monitor-rules.ts';
import type { MonitorConfig } from '../../config/schema-monitors.ts';
import { formatDuration } from '../../config/units.ts';
import type { Health, Rule, WatchReport } from '../../domain/monitor.ts';
import { staleMs, watchReport } from './report.ts';
import type { CliContext, Outcome } from '../cli-context.ts';
import { withTemporal } from '../plan/steer.ts';
import type { Column } from '../text.ts';

const columns = (...titles: string[]): readonly Column[] => titles.map((title) => ({ title }));

const ruleText = (rule: Rule): string =>
  [rule.metric, rule.above === undefined ? '' : `> ${String(rule.above)}`, rule.below === undefined ? '' : `< ${String(rule.below)}`, rule.forMs === undefined ? `${String(rule.failures)} times` : `for ${formatDuration(rule.forMs)}`].filter((part) => part !== '').join(' ');

export async function listMonitors(context: CliContext): Promise<Outcome> {
  const monitors = (await context.loadConfig()).config.monitors ?? [];
  const rows = monitors.flatMap((monitor) => rulesOfMonitor(monitor).map((rule) => ({ rule: rule.id, monitor: monitor.name, type: monitorType(monitor), severity: rule.severity, when: ruleText(rule), everyMs: monitor.every, plan: monitor.plan ?? [], on: monitor.on ?? null })));
  if (context.output.json) context.output.document(rows);
  else if (rows.length === 0) context.output.print('the configuration has no monitors');
  else context.output.table(columns('rule', 'severity', 'wrong when', 'every', 'plan'), rows.map((row) => [row.rule, row.severity, row.when, formatDuration(row.everyMs), row.plan.join(', ')]));
  return undefined;
}

export async function monitorStatus(context: CliContext): Promise<Outcome> {
  const monitors = (await context.loadConfig()).config.monitors ?? [];
  return withTemporal(context, async ({ client }) => {
    const hosts = [...new Set(monitors.map((monitor) => monitor.on ?? null))];
    const reports = new Map(await Promise.all(hosts.map(async (host) => [host, await watchReport(client, host)] as const)));
    const rows = monitors.flatMap((monitor) => rulesOfMonitor(monitor).map((rule) => rowOf(monitor, rule, reports.get(monitor.on ?? null))));
    if (context.output.json) context.output.document({ monitors: rows });
    else context.output.table(columns('rule', 'health', 'value', 'since', 'detail'), rows.map((row) => [row.rule, row.health, row.value === null ? '' : String(row.value), row.since ?? '', row.detail]));
    if (rows.some((row) => row.health === 'breached')) return 6;
    return rows.some((row) => row.health === 'unknown' || row.health === 'unwatched') ? 5 : undefined;
  });
}

interface Row { readonly rule: string; readonly severity: string; readonly health: Health | 'unwatched'; readonly value: number | null; readonly threshold: number | null; readonly since: string | null; readonly detail: string }

/** Healthy is only what a living watcher counts as healthy. */
function rowOf(_: MonitorConfig, rule: Rule, report: WatchReport | undefined): Row {
  const nothing = { rule: rule.id, severity: rule.severity, value: null, threshold: rule.above ?? rule.below ?? null, since: null };
  if (report === undefined) return { ...nothing, health: 'unwatched', detail: 'no worker watches it' };
  if (Date.now() - Date.parse(report.at) > staleMs) return { ...nothing, health: 'unknown', detail: `the watcher was not heard of since ${report.at}` };
  const other = report.others.find((each) => each.rule === rule.id);
  if (other === undefined) return { ...nothing, health: 'healthy', detail: '' };
  return { ...nothing, health: other.health, value: other.value, threshold: other.threshold ?? nothing.threshold, since: other.since, detail: other.detail };
}
