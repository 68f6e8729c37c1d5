/** Logs of runs, `evidence/runs/<target>/<operation>.json`: for rates and histories, not for proof; nothing is decided by them. */
import { z } from 'zod';
import { loggedOperations, type LoggedOperation, type RunLog } from '../../domain/run-log.ts';
import { isResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { safeTarget } from './layout.ts';

export const runLogsPrefix = 'evidence/runs/';
export const runLogKey = (target: string, operation: LoggedOperation): string => `${runLogsPrefix}${safeTarget(target)}/${operation}.json`;

const kind = z.enum(['full', 'differential', 'incremental']).optional();
const time = z.string().refine((text) => !Number.isNaN(Date.parse(text)));
const runLog = z.object({
  schemaVersion: z.literal(1),
  runs: z.array(z.object({ id: z.string(), kind, at: time, ms: z.number(), ok: z.boolean(), scheduled: z.boolean() })),
  expects: z.array(z.object({ kind, cron: z.string(), timezone: z.string(), jitterMs: z.number(), since: time, until: time.optional() })),
});

/** Undefined where there is none. @throws SyntaxError or ZodError when it is none, and errors of the store */
export async function readRunLog(store: ObjectStore, target: string, operation: LoggedOperation, signal?: AbortSignal): Promise<RunLog | undefined> {
  try {
    return runLog.parse(JSON.parse((await store.get(runLogKey(target, operation), signal === undefined ? {} : { signal })).toString('utf8'))) as RunLog;
  } catch (error) {
    if (isResurgoError(error, 'objectMissing')) return undefined;
    throw error;
  }
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
