import type { LoadedConfig } from '../config/load.ts';
import type { Output } from './output.ts';

/** What a command gets. */
export interface CliContext {
  readonly output: Output;
  readonly env: NodeJS.ProcessEnv;
  /** As given by `--config`, `RESURGO_CONFIG` or `resurgo.yaml`. */
  readonly configPath: string;
  readonly version: string;
  /** Aborted by the first SIGINT or SIGTERM; the command ends soon, in a true state. */
  readonly signal: AbortSignal;
  /** @throws configInvalid, configUnsafe */
  loadConfig(): Promise<LoadedConfig>;
}

/** Exit code of the command; nothing means 0. Errors are thrown. */
export type Outcome = number | undefined;

/** What `register(program, cli)` gets: options are declared at once, everything heavy is imported inside the handler. */
export interface Cli {
  /** Wraps a handler for commander's `.action()`: builds the context, and turns its outcome into the exit code. */
  action<A extends unknown[]>(
    handler: (context: CliContext, ...args: A) => Promise<Outcome | void>,
  ): (...args: A) => Promise<void>;
}
