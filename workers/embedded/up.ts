/** All-in-one: a Temporal server and a worker as children of one process, restarted when they die, stopped in order. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { ResurgoError } from '../../domain/errors.ts';
import { searchAttributeNames } from '../search-attributes.ts';
import { lastUpState, processStart, readUpState, removeUpState, writeUpState, type UpState } from '../../client/up-state.ts';
import { Child } from './child.ts';
import { listensOn, portNear } from './ports.ts';
import { temporalBinary } from './temporal-binary.ts';

export interface UpOptions {
  readonly stateDir: string;
  /** How to start a worker: program and arguments. */
  readonly worker: { readonly command: string; readonly args: readonly string[] };
  /** How to start the gateway on a port: program and arguments. */
  readonly gateway?: { readonly port: number; readonly command: string; readonly args: (port: number) => readonly string[] };
  readonly onEvent: (event: UpEvent) => void;
  readonly signal: AbortSignal;
}

export type Part = 'temporal' | 'worker' | 'gateway';

export type UpEvent =
  | { readonly type: 'ready'; readonly state: UpState; readonly tookMs: number }
  | { readonly type: 'restarted'; readonly part: Part; readonly how: string }
  | { readonly type: 'log'; readonly part: Part; readonly line: string }
  | { readonly type: 'stopping' };

const namespace = 'default';
const defaultPorts = { temporal: 7233, ui: 8233 } as const;

/**
 * Runs until `signal` aborts. The same ports are taken again where they are free, so that links stay good.
 * @throws lockBusy when another `up` runs for this configuration; toolMissing; temporalUnreachable when the server does not come up
 */
export async function runUp(options: UpOptions): Promise<void> {
  const { stateDir, signal, onEvent } = options;
  const begun = performance.now();
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const running = await readUpState(stateDir);
  if (running !== undefined && running.pid !== process.pid) {
    throw new ResurgoError('lockBusy', `resurgo up already runs for this configuration (pid ${String(running.pid)}, ${running.ui})`, { details: { hint: 'Use it, or stop it first.' } });
  }
  const binary = temporalBinary();
  const last = await lastUpState(stateDir);
  // The parts load their code while the server comes up, and connect when they are told where it serves.
  const served = Promise.withResolvers<UpState>();
  const waitsForTemporal = (child: Child): Child => {
    void served.promise.then(({ address }) => { child.send({ temporal: address }); });
    return child;
  };
  const workerReady = Promise.withResolvers<undefined>();
  const worker = new Supervised('worker', options, (hooks) => waitsForTemporal(
    new Child({
      name: 'worker',
      command: options.worker.command,
      args: options.worker.args,
      env: partEnvironment(stateDir),
      ...hooks,
      onMessage: (message) => {
        if ((message as { ready?: boolean }).ready === true) workerReady.resolve(undefined);
      },
    })),
  );
  let temporal: Supervised | undefined;
  let gateway: { part: Supervised; url: Promise<string> } | undefined;
  try {
    worker.start();
    gateway = await startGateway(options, waitsForTemporal, portOf(last?.gateway));
    const server = await startTemporal(options, binary, last);
    const { state } = server;
    ({ temporal } = server);
    served.resolve(state);
    const parts = [worker.hopeless, temporal.hopeless];
    // Backups and runs go on without a gateway: a missing webhook secret does not end them.
    const url = gateway === undefined ? Promise.resolve(undefined) : Promise.race([gateway.url, gateway.part.hopeless.catch((error: unknown) => {
      onEvent({ type: 'log', part: 'gateway', line: `error: given up; no alert is taken: ${error instanceof Error ? error.message : String(error)}` });
      return undefined;
    })]);
    await Promise.race([Promise.all([workerReady.promise, url]), aborted(signal), ...parts]);
    if (!signal.aborted) {
      const ready = { ...state, ready: true, ...(await url.then((where) => (where === undefined ? {} : { gateway: where }))) };
      await writeUpState(stateDir, ready);
      onEvent({ type: 'ready', state: ready, tookMs: Math.round(performance.now() - begun) });
      await Promise.race([aborted(signal), ...parts]);
    }
  } finally {
    onEvent({ type: 'stopping' });
    // What comes in first, so that nothing is accepted half; then the worker: it hands its running activities back to a server that still answers.
    await gateway?.part.stop(10_000);
    await worker.stop(15_000);
    await temporal?.stop(10_000);
    await removeUpState(stateDir);
  }
}

/** How often other ports are tried when somebody else takes the chosen ones first. */
const portTries = 5;

/**
 * Starts the server and waits until it answers: ours, and not another `up` that was a moment faster to take the same port. A worker that polled
 * there would take the runs of another configuration.
 * @throws temporalUnreachable, toolFailed
 */
async function startTemporal(options: UpOptions, binary: string, last: UpState | undefined): Promise<{ temporal: Supervised; state: UpState }> {
  const { stateDir, signal } = options;
  for (let tries = 1; ; tries++) {
    const port = await portNear(portOf(last?.address) ?? defaultPorts.temporal);
    const uiPort = await portNear(portOf(last?.ui) ?? (port === defaultPorts.temporal ? defaultPorts.ui : port + 1000 > 65535 ? port - 1000 : port + 1000));
    const state: UpState = {
      pid: process.pid,
      pidStart: processStart(process.pid) ?? '',
      address: `127.0.0.1:${String(port)}`,
      namespace,
      ui: `http://127.0.0.1:${String(uiPort)}`,
      ready: false,
      startedAt: new Date().toISOString(),
    };
    await writeUpState(stateDir, state);

    const temporal = new Supervised('temporal', options, (hooks) => withPrivateFiles(() =>
      new Child({
        name: 'temporal',
        command: binary,
        args: [
          'server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort), '--ui-ip', '127.0.0.1',
          '--db-filename', join(stateDir, 'temporal.db'), '--log-level', 'error', '--log-format', 'json', '--ui-disable-news-fetch', '--namespace', namespace,
          // An accepted run or approval must survive a power cut (docs/adr/0004-all-in-one-durability.md).
          '--sqlite-pragma', 'journal_mode=WAL', '--sqlite-pragma', 'synchronous=FULL',
          ...searchAttributeNames.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
        ],
        ...hooks,
      })),
    );
    let failure: Error | undefined;
    try {
      temporal.start();
      await serving(state.address, signal, temporal);
      if (signal.aborted || (await temporal.listensOn(port)) !== false) return { temporal, state };
    } catch (error) {
      failure = error as Error;
    }
    // Its last words may come as it ends: only then is it known whether somebody else had its port.
    await temporal.stop(10_000);
    const takenByOthers = failure === undefined || temporal.lostItsPort;
    if (takenByOthers && tries < portTries) continue;
    await removeUpState(stateDir);
    throw failure ?? new ResurgoError('temporalUnreachable', `other programs took the ports ${String(tries)} times before the Temporal server had them`);
  }
}

async function startGateway(options: UpOptions, waitsForTemporal: (child: Child) => Child, lastPort: number | undefined): Promise<{ part: Supervised; url: Promise<string> } | undefined> {
  const { gateway, stateDir } = options;
  if (gateway === undefined) return undefined;
  const port = await portNear(lastPort ?? gateway.port);
  const url = Promise.withResolvers<string>();
  const part = new Supervised('gateway', options, (hooks) => waitsForTemporal(
    new Child({
      name: 'gateway',
      command: gateway.command,
      args: gateway.args(port),
      env: partEnvironment(stateDir),
      ...hooks,
      onMessage: (message) => {
        const { ready, url: where } = message as { ready?: boolean; url?: string };
        if (ready === true && where !== undefined) url.resolve(where);
      },
    })),
  );
  part.start();
  return { part, url: url.promise };
}

/** Of the parts that talk to our server: nothing names another one. */
const partEnvironment = (stateDir: string): NodeJS.ProcessEnv => ({
  // Compiled modules of the last start: half of the time to start. Ours alone, unlike Node's default place.
  NODE_COMPILE_CACHE: join(stateDir, 'cache', 'compiled'),
  ...process.env,
  TEMPORAL_ADDRESS: '', TEMPORAL_NAMESPACE: namespace, TEMPORAL_CONFIG_FILE: '', TEMPORAL_PROFILE: '',
});

/** What a child started now creates is ours alone: the server makes its database files by the umask. */
function withPrivateFiles<T>(start: () => T): T {
  const before = process.umask(0o077);
  try {
    return start();
  } finally {
    process.umask(before);
  }
}

type Hooks = Pick<ConstructorParameters<typeof Child>[0], 'onLine' | 'onExit'>;

/** Starts a part again when it dies; gives up when it dies at once ten times in a row. */
class Supervised {
  private readonly part: Part;
  private readonly options: UpOptions;
  private readonly make: (hooks: Hooks) => Child;
  private child: Child | undefined;
  private stopping = false;
  private quickDeaths = 0;
  private readonly lines: string[] = [];
  private readonly giveUp = Promise.withResolvers<never>();
  readonly hopeless: Promise<never> = this.giveUp.promise;

  constructor(part: Part, options: UpOptions, make: (hooks: Hooks) => Child) {
    this.part = part;
    this.options = options;
    this.make = make;
    this.hopeless.catch(() => undefined);
  }

  start(): void {
    const startedAt = performance.now();
    this.child = this.make({
      onLine: (line) => {
        if (line.trim() === '') return;
        this.lines.push(line);
        if (this.lines.length > 20) this.lines.shift();
        this.options.onEvent({ type: 'log', part: this.part, line });
      },
      onExit: (how) => {
        if (this.stopping) return;
        this.quickDeaths = performance.now() - startedAt < 5000 ? this.quickDeaths + 1 : 0;
        if (this.quickDeaths >= 5) {
          this.giveUp.reject(new ResurgoError('toolFailed', `the ${this.part} ended ${String(this.quickDeaths)} times in a row (${how}); its last lines: ${this.lines.slice(-5).join(' | ')}`));
          return;
        }
        this.options.onEvent({ type: 'restarted', part: this.part, how });
        setTimeout(() => {
          if (!this.stopping) this.start();
        }, Math.min(5000, 200 * 2 ** this.quickDeaths));
      },
    });
  }

  /** Whether it is this part that listens there; see {@link listensOn}. */
  async listensOn(port: number): Promise<boolean | undefined> {
    const pid = this.child?.pid;
    return pid === undefined ? undefined : listensOn(pid, port);
  }

  /** Its last words are that the port is in use. */
  get lostItsPort(): boolean {
    return this.lines.some((line) => line.includes('address already in use'));
  }

  async stop(graceMs: number): Promise<void> {
    this.stopping = true;
    await this.child?.stop(graceMs);
  }
}

async function serving(address: string, signal: AbortSignal, server: Supervised): Promise<void> {
  const deadline = Date.now() + 30_000;
  const wait = async (): Promise<void> => {
    for (;;) {
      if (signal.aborted) return;
      try {
        const connection = await Connection.connect({ address, connectTimeout: 1000 });
        await connection.workflowService.describeNamespace({ namespace });
        await connection.close();
        return;
      } catch (error) {
        if (Date.now() > deadline) throw new ResurgoError('temporalUnreachable', `the Temporal server at ${address} did not come up within 30 s`, { cause: error });
        await sleep(50);
      }
    }
  };
  await Promise.race([wait(), server.hopeless]);
}

const aborted = (signal: AbortSignal): Promise<void> =>
  signal.aborted ? Promise.resolve() : new Promise((resolve) => { signal.addEventListener('abort', () => { resolve(); }, { once: true }); });

const portOf = (url: string | undefined): number | undefined => {
  const match = /:(\d+)$/.exec(url ?? '');
  return match === null ? undefined : Number(match[1]);
};
