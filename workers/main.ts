/** The worker process: composition root of the host side. */
import { hostname } from 'node:os';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { NativeConnection, type NativeConnectionOptions } from '@temporalio/worker';
import { Client, Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import { ResurgoError } from '../domain/errors.ts';
import { loadConfig } from '../config/load.ts';
import type { Activities, ActivityDeps } from '../activities/index.ts';
import { resolveTemporal, type TemporalTarget } from '../client/temporal-address.ts';
import { startWalArchives, walTargets } from '../client/wal.ts';
import { createDeps } from './deps.ts';
import { workflowBundle } from './bundle.ts';
import { createResurgoWorker } from './create-worker.ts';
import { alerting } from './alerting.ts';
import { closedRuns, traceOfRun } from './closed-runs.ts';
import { readiness } from './readiness.ts';
import { startDeadman, startMonitors, startTraces } from './start-monitors.ts';
import { ensureSearchAttributes } from './search-attributes.ts';
import { listSchedules } from './list-schedules.ts';
import { reapDaily } from './reaper.ts';
import { cancelParent, isRunning, newestRun, outcomeOf, waitForClose } from './wait-for-close.ts';

export interface WorkerProcessOptions {
  readonly configPath: string;
  /** Name of this host on task queues; default the host name plus a mark of the state directory. */
  readonly host?: string;
  readonly heavySlots?: number;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Resolves when Temporal answers, false when there is to be no worker after all; what needs no server is done meanwhile. Default: it answers already. */
  readonly temporalServes?: Promise<boolean>;
  /** Default: `createActivities`. Tests wrap them to fail at a named place. */
  readonly makeActivities?: (deps: ActivityDeps) => Activities;
  readonly onReady?: (facts: { readonly address: string; readonly namespace: string; readonly host: string }) => void;
}

/** Two configurations on one machine keep their run files apart; so do their host queues. */
export const defaultHostName = (stateDir: string): string => `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${createHash('sha256').update(stateDir).digest('hex').slice(0, 6)}`;

/** Both connections, or none. @throws temporalUnreachable naming the address */
async function connections(target: TemporalTarget): Promise<{ connection: NativeConnection; clientConnection: Connection }> {
  let connection: NativeConnection | undefined;
  try {
    connection = await NativeConnection.connect(target.connection as NativeConnectionOptions);
    return { connection, clientConnection: await Connection.connect(target.connection) };
  } catch (error) {
    await connection?.close();
    throw new ResurgoError('temporalUnreachable', `Temporal at ${target.connection.address} does not answer: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Runs a worker until `signal` aborts or it fails. */
export async function runWorkerProcess(options: WorkerProcessOptions): Promise<void> {
  const { logger, signal } = options;
  const loaded = loadConfig(options.configPath);
  const bundle = await workflowBundle(join(loaded.stateDir, 'cache'));
  if ((await options.temporalServes) === false) return;
  const target = await resolveTemporal(loaded.stateDir);
  const { connection, clientConnection } = await connections(target);
  const client = new Client({ connection: clientConnection, namespace: target.namespace });
  const host = options.host ?? defaultHostName(loaded.stateDir);
  const searchAttributes = await ensureSearchAttributes(clientConnection, target.namespace);
  if (!searchAttributes) logger.warn(`namespace ${target.namespace} has no search attributes of ours and takes none here; runs go without them`);
  const deps = createDeps(loaded, { host, searchAttributes, waitForClose: (id, stop) => waitForClose(client, id, stop), isRunning: (id) => isRunning(client, id), newestRun: (type, prefix) => newestRun(client, type, prefix), cancelParent: (id, prefix) => cancelParent(client, id, prefix), listSchedules: () => listSchedules(client), runs: { closed: (since) => closedRuns(client, since, 'traces'), trace: (run) => traceOfRun(client, target.namespace, run) }, readiness: () => readiness(loaded), outcomeOf: (id, stop) => outcomeOf(client, id, stop), ...alerting(client) });
  try {
    const worker = await createResurgoWorker({ connection, namespace: target.namespace, bundle, deps, ...(options.makeActivities === undefined ? {} : { activities: options.makeActivities(deps) }), ...(options.heavySlots === undefined ? {} : { heavySlots: options.heavySlots }) });
    const stop = (): void => { worker.shutdown(); };
    const running = worker.run();
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    const orWarn = (what: string, advice: string, started: Promise<void>): Promise<void> =>
      started.catch((error: unknown) => { logger.warn(`${what} were not started: ${error instanceof Error ? error.message : String(error)}; ${advice}`); });
    const again = 'the next start of a worker tries again';
    await orWarn('the WAL archives', 'see resurgo wal start', startWalArchives(client, walTargets(loaded.config), `worker ${host}`));
    const reaping = reapDaily(deps, logger);
    await orWarn('the monitors', again, startMonitors(client, loaded.config));
    await orWarn('the dead-man pings', again, startDeadman(client, loaded.config));
    await orWarn('the traces', again, startTraces(client, loaded.config));
    options.onReady?.({ address: target.connection.address, namespace: target.namespace, host });
    await running.finally(() => { clearInterval(reaping); });
  } finally {
    await deps.stores.close();
    await clientConnection.close();
    await connection.close();
  }
}
