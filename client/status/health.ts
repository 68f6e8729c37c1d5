/** Success rates over 30 days, from the logs that runs leave in the repositories. */
import { parseCron, timesBetween } from '../../config/cron.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { healthOf, healthWindowMs, loggedOperations, mergeRunLogs, type DueTimes, type LoggedOperation, type OperationHealth, type RunLog } from '../../domain/run-log.ts';
import { listRunLogs, readRunLog } from '../../providers/repository/run-log.ts';

/** Many targets have few schedules: each is worked out once. */
export function rememberedDueTimes(now: number): DueTimes {
  const from = now - healthWindowMs;
  const known = new Map<string, readonly number[]>();
  return (cron, timezone, begin, end) => {
    const key = `${cron}\n${timezone}`;
    let times = known.get(key);
    if (times === undefined) {
      const parsed = parseCron(cron);
      times = typeof parsed === 'string' ? [] : timesBetween(parsed, timezone, from, now);
      known.set(key, times);
    }
    return times.slice(firstAfter(times, begin), firstAfter(times, end));
  };
}

/** Position of the first that is later, by halving. */
function firstAfter(times: readonly number[], moment: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) > moment) high = middle;
    else low = middle + 1;
  }
  return low;
}

export type RunLogNames = ReadonlyMap<string, ReadonlyMap<string, readonly LoggedOperation[]>>;

/** Which logs each repository has, by repository and target; one that does not tell has none. */
export async function runLogNames(open: ReadonlyMap<string, ObjectStore>): Promise<RunLogNames> {
  return new Map(await Promise.all([...open].map(async ([name, store]): Promise<[string, ReadonlyMap<string, readonly LoggedOperation[]>]> => [name, await listRunLogs(store).catch(() => new Map<string, LoggedOperation[]>())])));
}

/** What is known of a target; a log that cannot be read is left out. */
export async function targetHealth(target: string, repositories: readonly string[], open: ReadonlyMap<string, ObjectStore>, names: RunLogNames, now: number, due: DueTimes): Promise<OperationHealth[]> {
  const logs = new Map<LoggedOperation, RunLog[]>();
  await Promise.all(repositories.flatMap((name) => (names.get(name)?.get(target) ?? []).map(async (operation) => {
    const store = open.get(name);
    if (store === undefined) return;
    try {
      const log = await readRunLog(store, target, operation);
      if (log !== undefined) logs.set(operation, [...(logs.get(operation) ?? []), log]);
    } catch {
      // Away, or damaged: what another repository has counts, and the next run begins it anew.
    }
  })));
  return loggedOperations.flatMap((operation) => {
    const found = logs.get(operation);
    return found === undefined ? [] : healthOf(operation, mergeRunLogs(found), now, due);
  });
}

const percent = (rate: number): string => `${String(Math.floor(rate * 1000) / 10)} %`;

/** All kinds of backup together, for one line; null: nothing ran. */
export function backupRate(health: readonly OperationHealth[]): { readonly text: string; readonly rate: number } | null {
  const backups = health.filter(({ operation }) => operation === 'backup');
  const sum = (of: (one: OperationHealth) => number): number => backups.reduce((total, one) => total + of(one), 0);
  const [good, failed, missed] = [sum(({ succeeded }) => succeeded), sum((one) => one.failed), sum((one) => one.missed)];
  const total = good + failed + missed;
  if (total === 0) return null;
  const bad = [...(failed > 0 ? [`${String(failed)} failed`] : []), ...(missed > 0 ? [`${String(missed)} missed`] : [])].join(', ');
  return { rate: good / total, text: `${percent(good / total)}${bad === '' ? '' : ` (${bad})`}` };
}

/** In words, for a person: what went how often. */
export const healthLine = ({ operation, kind, succeeded, failed, missed, rate, since }: OperationHealth): string =>
  `${kind === undefined ? operation : `${kind} ${operation}`}: ${rate === null ? 'no run' : percent(rate)} of ${String(succeeded + failed + missed)} runs since ${since.slice(0, 10)} ended well${failed > 0 ? `, ${String(failed)} failed` : ''}${missed > 0 ? `, ${String(missed)} never started` : ''}`;
