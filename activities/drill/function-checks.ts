import { setTimeout as sleep } from 'node:timers/promises';
import type { GroupedCheck } from '../../domain/drill.ts';
import { checkHookProgram } from '../../config/safe-file.ts';
import type { DrillCheckConfig } from '../../config/schema-drill.ts';
import { startTool } from '../../providers/host/child.ts';
import { runHook } from '../../providers/host/hooks.ts';
import type { PostgresConnection } from '../../providers/postgres/connection.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { firstValue } from '../../providers/postgres/read-only.ts';
import type { ActivityDeps } from '../deps.ts';
import { toResurgoError } from '../failure-mapping.ts';

export interface CheckPlace {
  /** As the drill's own role, which may read everything and change nothing. */
  readonly connection: PostgresConnection;
  readonly database: string;
  /** For programs: how to reach the restored database. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Runs one check; a check that cannot be run has failed, and says why. */
export async function functionCheck(deps: Pick<ActivityDeps, 'loaded'>, check: DrillCheckConfig, place: CheckPlace): Promise<GroupedCheck> {
  const since = performance.now();
  const name = check.name ?? check.sql ?? check.http ?? check.command?.join(' ') ?? 'check';
  const told = (outcome: GroupedCheck['outcome'], detail: string): GroupedCheck => ({ group: 'function', name: oneLine(name), outcome, detail: detail.slice(0, 1000), durationMs: Math.round(performance.now() - since) });
  try {
    if (check.sql !== undefined) return told(...(await sqlCheck(check, check.sql, place)));
    if (check.http !== undefined) return told(...(await httpCheck(deps, check, check.http, place)));
    const command = check.command ?? [];
    assertProgram(deps, command);
    const { output } = await runHook({ name: `drill check ${oneLine(name)}`, command, timeoutMs: check.timeout, signal: place.signal, env: place.env });
    return told('passed', lastLine(output) || 'ended with 0');
  } catch (error) {
    place.signal.throwIfAborted();
    return told('failed', toResurgoError(error).message);
  }
}

type Judged = [GroupedCheck['outcome'], string];

async function sqlCheck(check: DrillCheckConfig, sql: string, place: CheckPlace): Promise<Judged> {
  const value = await withClient(place.connection, (client) => firstValue(client, sql, check.timeout), { database: check.database ?? place.database, signal: place.signal, theirs: true });
  const shown = value === null ? 'no value' : JSON.stringify(value.slice(0, 200));
  if (check.equals !== undefined) return value === check.equals ? ['passed', `is ${shown}`] : ['failed', `is ${shown}, wanted is ${JSON.stringify(check.equals)}`];
  if (check.min !== undefined) return value !== null && value.trim() !== '' && Number(value) >= check.min ? ['passed', `is ${shown}, at least ${String(check.min)}`] : ['failed', `is ${shown}, wanted is at least ${String(check.min)}`];
  if (value === 'true' || value === 't') return ['passed', 'true'];
  if (value === 'false' || value === 'f' || value === null) return ['failed', value === null ? 'no value' : 'false'];
  return ['failed', `is ${shown}, which is neither true nor false: write a condition, or say what is wanted by equals or min`];
}

async function httpCheck(deps: Pick<ActivityDeps, 'loaded'>, check: DrillCheckConfig, url: string, place: CheckPlace): Promise<Judged> {
  if (check.start === undefined) return askUntil(check, url, place, () => undefined);
  assertProgram(deps, check.start);
  const [command = '', ...args] = check.start;
  const app = startTool({ command, args, env: place.env, signal: place.signal });
  app.stdout.resume();
  let ended: string | undefined;
  const end = app.done.then(
    () => (ended = `${command} ended by itself`),
    (error: unknown) => (ended = toResurgoError(error).message),
  );
  try {
    return await askUntil(check, url, place, () => ended);
  } finally {
    app.stop('the check is over');
    await end;
  }
}

/** Asks again until the answer fits or the time is over: what was started needs a moment. */
async function askUntil(check: DrillCheckConfig, url: string, { signal }: CheckPlace, ended: () => string | undefined): Promise<Judged> {
  const until = performance.now() + check.timeout;
  for (let last = ''; ; ) {
    const [fits, said] = await ask(check, url, AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, Math.ceil(until - performance.now())))])).catch((error: unknown): [boolean, string] => [false, reasonOf(error)]);
    signal.throwIfAborted();
    if (fits) return ['passed', said];
    // The reason before the time was up says more than that it was up.
    if (last === '' || !/aborted|timeout/i.test(said)) last = said;
    const gone = ended();
    if (gone !== undefined) return ['failed', `${last}; ${gone}`];
    if (performance.now() + 250 >= until) return ['failed', last];
    await sleep(250, undefined, { signal });
  }
}

async function ask(check: DrillCheckConfig, url: string, signal: AbortSignal): Promise<[boolean, string]> {
  const response = await fetch(url, { signal, redirect: 'manual' });
  const body = (await response.text()).slice(0, 1_000_000);
  const status = `status ${String(response.status)}`;
  if (check.status === undefined ? !response.ok : response.status !== check.status) return [false, `${status}, wanted is ${check.status === undefined ? '200 to 299' : String(check.status)}`];
  if (check.contains !== undefined && !body.includes(check.contains)) return [false, `${status}, but the answer does not contain ${JSON.stringify(check.contains)}`];
  return [true, check.contains === undefined ? status : `${status}, contains ${JSON.stringify(check.contains)}`];
}

const reasonOf = (error: unknown): string => {
  const cause = (error as { cause?: unknown }).cause;
  return cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code || 'no answer' : error instanceof Error ? error.message : String(error);
};

/** Somebody may have changed it since `resurgo check`; as root it must be nobody else's to change. */
function assertProgram({ loaded }: Pick<ActivityDeps, 'loaded'>, command: readonly string[]): void {
  const [program] = command;
  if (program?.includes('/') === true) checkHookProgram(program, 'drills.checks', loaded.owner);
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim().slice(0, 120);
const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1)?.slice(0, 300) ?? '';
