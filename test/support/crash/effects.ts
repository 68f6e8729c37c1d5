/** In a worker that is to crash: notes what activities do, and dies where the plan says. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { appendFileSync, existsSync, readFileSync, renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { currentContext } from '../../../activities/failure-mapping.ts';
import type { CrashOperation, CrashPlan, Effect } from './plan.ts';

interface Scope {
  readonly activity: string;
  readonly attempt: number;
  readonly run: string;
}

const scopes = new AsyncLocalStorage<Scope>();
const running = new Set<Scope>();
const planFile = process.env['CRASH_PLAN_FILE'];
const markFile = process.env['CRASH_MARK'];
const ledger = process.env['EFFECT_LOG'];

/** Share of the effects before a place that another run of the same thing has at least. */
const nearly = 0.5;

let planText = '';
let plan: CrashPlan | undefined;
let seen = 0;

/** The plan in force; counting begins anew with a new one. */
function currentPlan(): CrashPlan | undefined {
  if (planFile === undefined) return undefined;
  let text = '';
  try {
    text = readFileSync(planFile, 'utf8');
  } catch {
    // None.
  }
  if (text !== planText) {
    planText = text;
    plan = text === '' ? undefined : (JSON.parse(text) as CrashPlan);
    seen = 0;
  }
  return plan;
}

/** The plan becomes the mark: whoever comes after us does not die again. */
function die(done: CrashPlan): void {
  plan = undefined;
  try {
    renameSync(planFile as string, markFile as string);
  } catch {
    return; // Another moment of ours was faster.
  }
  const strike = (): void => {
    process.kill(process.pid, done.signal ?? 'SIGKILL');
  };
  if (done.delayMs === undefined) strike();
  else setTimeout(strike, done.delayMs);
}

/** Waits at the place: the mark says that it is reached. @returns when the mark is taken away or the activity is cancelled */
async function hold(): Promise<void> {
  plan = undefined;
  renameSync(planFile as string, markFile as string);
  const signal = currentContext()?.cancellationSignal;
  while (existsSync(markFile as string) && signal?.aborted !== true) await sleep(20);
}

export function note(line: Omit<Effect, 'pid' | 'at'>): void {
  if (ledger !== undefined) appendFileSync(ledger, `${JSON.stringify({ pid: process.pid, at: Date.now(), ...line })}\n`);
}

/** Callbacks of sockets and threads may have lost the scope; with one activity alone it is that one. */
function currentScope(): Scope | undefined {
  const scope = scopes.getStore();
  if (scope !== undefined) return scope;
  const [only] = running;
  return running.size === 1 ? only : undefined;
}

function fits(planned: CrashPlan, operation: CrashOperation, text: string, store: string | undefined): boolean {
  if (planned.operation !== undefined && planned.operation !== operation) return false;
  if (planned.store !== undefined && planned.store !== store) return false;
  return planned.match === undefined || new RegExp(planned.match).test(text);
}

/** Runs one effect of an activity; outside of activities nothing is noted and nobody dies. `text`: all of what a plan's `match` looks into. */
export function effect<T>(operation: CrashOperation, key: string, work: () => T, facts: { store?: string; bytes?: number } = {}, text = key): T {
  const scope = currentScope();
  if (scope === undefined) return work();
  const planned = currentPlan();
  const chosen = planned?.when === 'inside' && planned.activity === scope.activity && fits(planned, operation, text, facts.store) && ++seen === (planned.at ?? 1);
  // For operations that are waited for: what gives its result at once cannot be held up.
  if (chosen && planned.hold === true) return hold().then(() => effect(operation, key, work, facts, text)) as T;
  if (chosen && planned.afterwards !== true) die(planned);
  const end = (failed: boolean): void => {
    note({ activity: scope.activity, attempt: scope.attempt, run: scope.run, operation, key, ...facts, ...(failed ? { failed } : {}) });
    if (chosen && planned.afterwards === true) die(planned);
  };
  let result: T;
  try {
    result = work();
  } catch (error) {
    end(true);
    throw error;
  }
  if (result instanceof Promise) {
    return result.then(
      (value: unknown) => {
        end(false);
        return value;
      },
      (error: unknown) => {
        end(true);
        throw error;
      },
    ) as T;
  }
  end(false);
  return result;
}

/** Runs an activity in its scope, with the deaths before and after it. */
export async function inActivity<T>(scope: Scope, work: () => Promise<T>): Promise<T> {
  return scopes.run(scope, async () => {
    running.add(scope);
    try {
      note({ started: scope.activity, attempt: scope.attempt, run: scope.run });
      const planned = currentPlan();
      if (planned?.activity === scope.activity && planned.when === 'before') {
        if (planned.hold === true) await hold();
        else die(planned);
      }
      const value = await work().catch((error: unknown) => {
        const now = currentPlan();
        if (now?.activity === scope.activity && now.when === 'after' && now.failed === true) die(now);
        throw error;
      });
      const now = currentPlan();
      if (now?.activity === scope.activity && now.orAtEnd === true && seen >= (now.at ?? 1) * nearly) die(now);
      if (now?.activity === scope.activity && now.when === 'after') {
        if (now.hold === true) await hold();
        else die(now);
        // A signal to ourselves is delivered before kill() returns, but SIGTERM and SIGSTOP leave us going on.
      }
      return value;
    } finally {
      running.delete(scope);
    }
  });
}
