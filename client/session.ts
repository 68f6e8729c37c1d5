/** What every command that starts a run does: find Temporal, start, show, follow. */
import type { CliContext } from './cli-context.ts';
import type { Connected } from './connect.ts';
import type { Runs } from './operations.ts';

export interface RunOptions {
  readonly detach: boolean;
  /** Default: made of type, target and time. */
  readonly workflowId?: string;
  /** Looks on while the run is followed; when it rejects, following ends with that error and the run goes on. */
  readonly watch?: (connected: Connected, signal: AbortSignal) => Promise<never>;
}

/** The run's result, or undefined with `--detach`. @throws what the run failed with */
export async function runAndFollow<T extends keyof Runs>(context: CliContext, type: T, input: Runs[T]['input'], options: RunOptions): Promise<Runs[T]['result'] | undefined> {
  const { output, signal } = context;
  const loaded = await context.loadConfig();
  const [{ resolveTemporal }, { connect, workflowLink }, { followRun, startRun }, { Progress }] = await Promise.all([
    import('./temporal-address.ts'), import('./connect.ts'), import('./operations.ts'), import('./progress.ts'),
  ]);
  let target = await resolveTemporal(loaded.stateDir);
  let connected = await connect(target);
  try {
    const run = await startRun(connected, type, input, options.workflowId);
    const link = workflowLink(connected, run.workflowId);
    output.note(`run ${run.workflowId}`);
    if (link !== undefined) output.note(`see ${link}`);
    if (options.detach) {
      output.result({ workflowId: run.workflowId, ...(link === undefined ? {} : { link }) }, `started ${run.workflowId}; the result will stand in the Temporal UI`);
      return undefined;
    }
    const progress = new Progress(output);
    try {
      for (;;) {
        // `resurgo up` may come back on another port: the run goes on there, and so do we.
        const moved = new AbortController();
        const timer = setInterval(() => {
          resolveTemporal(loaded.stateDir, { waitMs: 0 }).then((now) => {
            if (now.connection.address !== target.connection.address) {
              target = now;
              moved.abort();
            }
          }, () => undefined);
        }, 2000);
        const done = new AbortController();
        try {
          const followed = followRun<Runs[T]['result']>(connected, run.workflowId, (state) => { progress.update(state); }, AbortSignal.any([signal, moved.signal]));
          return await (options.watch === undefined ? followed : Promise.race([followed, options.watch(connected, done.signal)]));
        } catch (error) {
          if (!moved.signal.aborted || signal.aborted) throw error;
          await connected.connection.close().catch(() => undefined);
          connected = await connect(target);
        } finally {
          clearInterval(timer);
          done.abort();
        }
      }
    } finally {
      progress.end();
    }
  } finally {
    await connected.connection.close();
  }
}

/** Who started it, for the manifest: `cli:user@host`. */
export async function startedBy(env: NodeJS.ProcessEnv): Promise<string> {
  const { hostname, userInfo } = await import('node:os');
  let user = env['USER'] ?? env['LOGNAME'] ?? '';
  try {
    user = userInfo().username;
  } catch {
    // No passwd entry for this uid: the environment's word has to do.
  }
  return `cli:${user === '' ? 'unknown' : user}@${hostname()}`;
}
