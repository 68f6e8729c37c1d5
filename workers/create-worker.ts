import { Worker, type NativeConnection, type WorkflowBundleOption } from '@temporalio/worker';
import { createActivities, type Activities, type ActivityDeps } from '../activities/index.ts';
import { taskQueues } from '../domain/task-queues.ts';

export interface ResurgoWorkerOptions {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly bundle: WorkflowBundleOption;
  readonly deps: ActivityDeps;
  /** How many bulk activities (dumps, restores, read-backs) run at once on this worker. Default 3: they are bound by CPU and disk. */
  readonly heavySlots?: number;
  /** Default: all activities over `deps`. Tests wrap them. */
  readonly activities?: Activities;
  /** Grace for running activities at shutdown before they are cancelled. */
  readonly shutdownGraceTime?: number;
}

export interface ResurgoWorker {
  /** Resolves when all parts have stopped; rejects when one failed. */
  run(): Promise<void>;
  shutdown(): void;
}

/**
 * One process, six task queues: `resurgo` (workflows, light activities), `resurgo.heavy` (bulk work anybody may do), and
 * `resurgo.host.<name>` and `resurgo.host.<name>.heavy` (what needs this host's run files or data directories), `resurgo.watch` and `resurgo.host.<name>.watch`
 * (WAL archives and monitors, which run for ever). Tests use this same function.
 */
export async function createResurgoWorker(options: ResurgoWorkerOptions): Promise<ResurgoWorker> {
  const { connection, namespace, deps } = options;
  const activities = options.activities ?? createActivities(deps);
  const heavySlots = options.heavySlots ?? 3;
  const common = {
    connection,
    namespace,
    activities,
    shutdownGraceTime: options.shutdownGraceTime ?? 5000,
    // Heartbeats are sent at most this late: what a dead worker had reported is at most this stale.
    maxHeartbeatThrottleInterval: 3000,
    defaultHeartbeatThrottleInterval: 3000,
  } as const;
  const workers = await Promise.all([
    Worker.create({ ...common, taskQueue: taskQueues.main, workflowBundle: options.bundle, // Most of these only wait for another run of their target.
      maxConcurrentActivityTaskExecutions: 400, maxCachedWorkflows: 300, reuseV8Context: true }),
    Worker.create({ ...common, taskQueue: taskQueues.heavy, maxConcurrentActivityTaskExecutions: heavySlots }),
    Worker.create({ ...common, taskQueue: taskQueues.host(deps.host), maxConcurrentActivityTaskExecutions: 100 }),
    Worker.create({ ...common, taskQueue: taskQueues.hostHeavy(deps.host), maxConcurrentActivityTaskExecutions: heavySlots }),
    // Each waits for bytes most of the time; their heartbeats must not be late.
    Worker.create({ ...common, taskQueue: taskQueues.watch, maxConcurrentActivityTaskExecutions: 400, maxHeartbeatThrottleInterval: 1500 }),
    Worker.create({ ...common, taskQueue: taskQueues.hostWatch(deps.host), maxConcurrentActivityTaskExecutions: 400, maxHeartbeatThrottleInterval: 1500 }),
  ]);
  const stop = (): void => {
    for (const worker of workers) {
      if (worker.getState() === 'RUNNING') worker.shutdown();
    }
  };
  return {
    async run() {
      await Promise.all(
        workers.map((worker) =>
          worker.run().catch((error: unknown) => {
            // One part down means the process is of no use: stop the others, let the supervisor start a fresh one.
            stop();
            throw error;
          }),
        ),
      );
    },
    shutdown: stop,
  };
}
