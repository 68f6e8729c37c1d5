import type { Logger } from 'pino';
import type { ActivityDeps } from '../activities/index.ts';
import { reapDrills } from '../activities/drill/remove.ts';

/** Removes what drills of a dead worker left on this host: now, and once a day. Every drill does it too. */
export function reapDaily(deps: ActivityDeps, logger: Pick<Logger, 'info' | 'warn'>): NodeJS.Timeout {
  const reap = async (): Promise<void> => {
    try {
      const { removed, problems } = await reapDrills(deps);
      if (removed.length > 0) logger.info(`removed what ${String(removed.length)} dead drill(s) had left: ${removed.join(', ')}`);
      for (const problem of problems) logger.warn(`left by a drill: ${problem}`);
    } catch (error) {
      logger.warn(`what dead drills left could not be looked for: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  void reap();
  return setInterval(() => void reap(), 86_400_000).unref();
}
