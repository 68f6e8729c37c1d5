/** Logs of runs, `evidence/runs/<target>/<operation>.json`: for rates and histories, not for proof; nothing is decided by them. */
import { loggedOperations, type Expectation, type LoggedOperation, type LoggedRun, type RunLog } from '../../domain/run-log.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { safeTarget } from './layout.ts';
import { getOr } from './backup-files.ts';

export const runLogsPrefix = 'evidence/runs/';
export const runLogsOf = (target: string): string => `${runLogsPrefix}${safeTarget(target)}/`;
export const runLogKey = (target: string, operation: LoggedOperation): string => `${runLogsOf(target)}${operation}.json`;

const isText = (value: unknown): value is string => typeof value === 'string';
/** As written by ourselves: they are compared as texts. */
const isTime = (value: unknown): boolean => isText(value) && value.length === 24 && value.endsWith('Z') && value[4] === '-' && value[10] === 'T';
const isKind = (value: unknown): boolean => value === undefined || value === 'full' || value === 'differential' || value === 'incremental';
const isRun = ({ id, kind, at, ms, ok, scheduled }: Partial<Record<keyof LoggedRun, unknown>>): boolean =>
  isText(id) && isKind(kind) && isTime(at) && typeof ms === 'number' && typeof ok === 'boolean' && typeof scheduled === 'boolean';
const isExpectation = ({ kind, cron, timezone, jitterMs, since, until }: Partial<Record<keyof Expectation, unknown>>): boolean =>
  isKind(kind) && isText(cron) && isText(timezone) && typeof jitterMs === 'number' && isTime(since) && (until === undefined || isTime(until));

/** By hand: `status` reads a thousand of them. @throws SyntaxError when it is none */
function parseRunLog(text: string): RunLog {
  const value = JSON.parse(text) as Partial<Record<keyof RunLog, unknown>> | null;
  const { schemaVersion, runs, expects } = value ?? {};
  if (schemaVersion !== 1 || !Array.isArray(runs) || !Array.isArray(expects) || !runs.every((run) => isRun((run as object | null) ?? {})) || !expects.every((one) => isExpectation((one as object | null) ?? {})))
    throw new SyntaxError('it is no log of runs');
  return value as RunLog;
}

/** Undefined where there is none. @throws SyntaxError when it is none, and errors of the store */
export async function readRunLog(store: ObjectStore, target: string, operation: LoggedOperation, signal?: AbortSignal): Promise<RunLog | undefined> {
  const bytes = await getOr(store, runLogKey(target, operation), signal);
  return bytes === undefined ? undefined : parseRunLog(bytes.toString('utf8'));
}

export async function writeRunLog(store: ObjectStore, target: string, operation: LoggedOperation, log: RunLog): Promise<void> {
  await store.put(runLogKey(target, operation), Buffer.from(`${JSON.stringify(log)}\n`));
}

/** Operations of each target that have a log, from names alone. */
export async function listRunLogs(store: ObjectStore, signal?: AbortSignal): Promise<Map<string, LoggedOperation[]>> {
  const found = new Map<string, LoggedOperation[]>();
  const keys = store.listKeys === undefined ? (async function* () { for await (const { key } of store.list(runLogsPrefix, signal)) yield key; })() : store.listKeys(runLogsPrefix, signal);
  for await (const key of keys) {
    const [target, file, more] = key.slice(runLogsPrefix.length).split('/');
    const operation = loggedOperations.find((name) => file === `${name}.json`);
    if (target === undefined || operation === undefined || more !== undefined) continue;
    const known = found.get(target);
    if (known === undefined) found.set(target, [operation]);
    else known.push(operation);
  }
  return found;
}
