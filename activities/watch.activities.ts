import type { Alert } from '../domain/alert.ts';
import type { WatchReport } from '../domain/monitor.ts';
import { ResurgoError } from '../domain/errors.ts';
import { currentContext, takePulse } from './failure-mapping.ts';
import type { ActivityDeps } from './deps.ts';
import { Watcher } from './watch/watcher.ts';

/** The watch is handed on now and then, so that the history of its workflow tells that it goes on. */
const shiftMs = 6 * 3_600_000;
const beatMs = 5000;

export function watchActivities(deps: ActivityDeps) {
  return {
    /**
     * Watches all monitors of the configuration that belong here (`on: host`, or those without). Effect: breaches are handed to incidents, and their
     * end. Idempotency: a breach keeps the time it began across workers by the heartbeat, and with it its key. Heartbeat: a {@link WatchReport}.
     */
    async watchMonitors({ host }: { host: string | null }): Promise<{ monitors: number }> {
      const monitors = (deps.loaded.config.monitors ?? []).filter((monitor) => (host === null ? monitor.on === undefined : monitor.on === host));
      if (monitors.length === 0) return { monitors: 0 };
      const { submitAlert, startNotification } = deps;
      const context = currentContext();
      if (submitAlert === undefined || startNotification === undefined || context === undefined) throw new ResurgoError('bug', 'monitors can be watched only by a worker');
      const last = context.info.heartbeatDetails as WatchReport | undefined;
      const shift = AbortSignal.timeout(shiftMs);
      const rest = takePulse(context);
      const watcher = new Watcher({
        host: deps.host, monitors, submit: (alert: Alert) => submitAlert(alert), tell: startNotification, signal: AbortSignal.any([context.cancellationSignal, shift]),
        fired: new Map((last?.others ?? []).flatMap(({ rule, firedAt }) => (firedAt === null ? [] : [[rule, Date.parse(firedAt)]]))),
      });
      const timer = setInterval(() => { context.heartbeat(watcher.report()); }, beatMs);
      context.heartbeat(last ?? watcher.report());
      try {
        await watcher.run();
        if (context.cancellationSignal.aborted) {
          context.heartbeat(watcher.report());
          await context.cancelled;
        }
        return { monitors: monitors.length };
      } finally {
        clearInterval(timer);
        rest();
      }
    },
  };
}
