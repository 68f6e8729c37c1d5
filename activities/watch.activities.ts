import type { WatchReport } from '../domain/monitor.ts';
import { ResurgoError } from '../domain/errors.ts';
import { currentContext, takePulse } from './failure-mapping.ts';
import type { ActivityDeps } from './deps.ts';
import { replicationOf, watchedClusters } from '../config/lookup.ts';
import { clusterOf } from './cluster/members.ts';
import { ClusterWatch } from './watch/cluster-watch.ts';
import { Watcher } from './watch/watcher.ts';

/** The watch is handed on now and then, so that the history of its workflow tells that it goes on. */
const shiftMs = 6 * 3_600_000;
const beatMs = 5000;
/** What is known of a cluster is wanted fresh by the watch that follows, and by those who ask. */
const clusterBeatMs = 2000;

export function watchActivities(deps: ActivityDeps) {
  return {
    /**
     * Watches all monitors of the configuration that belong here (`on: host`, or those without), and without a host the replication of clusters. Effect:
     * breaches are handed to incidents, and their end; repairs of standbys and failovers are started as runs of their own. Idempotency: a breach keeps the time it began across workers by the heartbeat, and with it its key. Heartbeat: a {@link WatchReport}.
     */
    async watchMonitors({ host }: { host: string | null }): Promise<{ monitors: number }> {
      const monitors = (deps.loaded.config.monitors ?? []).filter((monitor) => (host === null ? monitor.on === undefined : monitor.on === host));
      const targets = host === null ? watchedClusters(deps.loaded.config) : [];
      if (monitors.length + targets.length === 0) return { monitors: 0 };
      const { submitAlert, startNotification, startRun, outcomeOf, isRunning, newestRun } = deps;
      const context = currentContext();
      if (submitAlert === undefined || startNotification === undefined || startRun === undefined || outcomeOf === undefined || isRunning === undefined || newestRun === undefined || context === undefined) throw new ResurgoError('bug', 'monitors can be watched only by a worker');
      const last = context.info.heartbeatDetails as WatchReport | undefined;
      const shift = AbortSignal.timeout(shiftMs);
      const rest = takePulse(context);
      const ended = new AbortController();
      const signal = AbortSignal.any([context.cancellationSignal, shift, ended.signal]);
      const watcher = new Watcher({
        host: deps.host, monitors, submit: submitAlert, tell: startNotification, signal,
        fired: new Map((last?.others ?? []).flatMap(({ rule, firedAt }) => (firedAt === null ? [] : [[rule, Date.parse(firedAt)]]))),
      });
      const clusters = targets.flatMap((target) => {
        const config = replicationOf(deps.loaded.config, target);
        return config === undefined ? [] : [new ClusterWatch({ cluster: clusterOf(deps, target), config, host: deps.host, submit: submitAlert, tell: startNotification, startRun, outcomeOf, isRunning, newestRun, last: last?.clusters?.find((each) => each.target === target), signal })];
      });
      const report = (): WatchReport => ({ ...watcher.report(), ...(clusters.length === 0 ? {} : { clusters: clusters.map((each) => each.report()) }) });
      const timer = setInterval(() => { context.heartbeat(report()); }, clusters.length === 0 ? beatMs : clusterBeatMs);
      context.heartbeat(last ?? report());
      try {
        await Promise.all([monitors.length === 0 ? undefined : watcher.run(), ...clusters.map((each) => each.run())]);
        if (context.cancellationSignal.aborted) {
          context.heartbeat(report());
          await context.cancelled;
        }
        return { monitors: monitors.length + targets.length };
      } finally {
        // One part that failed must not leave the others at work beside the next attempt.
        ended.abort();
        clearInterval(timer);
        rest();
      }
    },
  };
}
