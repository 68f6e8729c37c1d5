import { setTimeout as sleep } from 'node:timers/promises';
import { ResurgoError } from '../domain/errors.ts';
import type { DeadmanConfig } from '../config/schema-deadman.ts';
import { ping } from './deadman.ts';
import type { ActivityDeps, Readiness } from './deps.ts';
import { currentContext } from './failure-mapping.ts';

/** The watch is handed on now and then, so that the history of its workflow tells that it goes on. */
const shiftMs = 6 * 3_600_000;

export function deadmanActivities(deps: ActivityDeps) {
  return {
    /**
     * Pings every dead-man switch of `on: health` in its time: success while what it is for is ready, else that it is not. Effect: pings. Heartbeat: that
     * the worker lives. Ends after some hours, or at once where there is no such switch.
     */
    async watchHealth(): Promise<{ pings: number }> {
      const pings = (deps.loaded.config.deadman ?? []).filter(({ on }) => on === 'health');
      const { readiness } = deps;
      if (pings.length === 0) return { pings: 0 };
      if (readiness === undefined) throw new ResurgoError('bug', 'health can be watched only by a worker');
      const context = currentContext();
      const signal = AbortSignal.any([AbortSignal.timeout(shiftMs), ...(context === undefined ? [] : [context.cancellationSignal])]);
      const next = pings.map(() => Date.now());
      const isOver = (): boolean => signal.aborted;
      while (!isOver()) {
        const now = Date.now();
        const due = pings.filter((_, i) => (next[i] ?? 0) <= now);
        if (due.length > 0) {
          const seen = await readiness().catch((error: unknown): Readiness => ({ targets: [], unknown: [error instanceof Error ? error.message : String(error)] }));
          if (!isOver()) await Promise.all(due.map((one) => tell(one, seen)));
        }
        for (const [i, one] of pings.entries()) while ((next[i] ?? Infinity) <= now) next[i] = Math.max((next[i] ?? 0) + one.every, now + 1);
        await sleep(Math.max(100, Math.min(...next) - Date.now()), undefined, { signal }).catch(() => undefined);
      }
      if (context?.cancellationSignal.aborted === true) await context.cancelled;
      return { pings: pings.length };
    },
  };

  async function tell(one: DeadmanConfig, seen: Readiness): Promise<void> {
    const [event, text] = verdict(one, seen);
    await ping(deps.loaded, one, event, text);
  }
}

/** What is not known is not well. */
function verdict({ targets }: DeadmanConfig, seen: Readiness): ['success' | 'fail', string] {
  const own = seen.targets.filter(({ name }) => targets?.includes(name) ?? true);
  const missed = own.flatMap(({ name, missed: why }) => why.map((each) => `${name}: ${each}`));
  const wrong = [...seen.unknown, ...missed];
  return wrong.length > 0 ? ['fail', wrong.slice(0, 50).join('\n')] : ['success', `${String(own.length)} targets are ready`];
}
