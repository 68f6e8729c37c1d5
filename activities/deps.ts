import type { LoadedConfig } from '../config/load.ts';
import type { Alert } from '../domain/alert.ts';
import type { Notification } from '../domain/notification.ts';
import type { OnProgress } from '../domain/ports.ts';
import type { ClosedRun, Span } from '../domain/trace.ts';
import type { Keys } from './key-ring.ts';
import type { StorePool } from './stores.ts';

/** How things stand, in words. */
export interface Readiness {
  readonly targets: readonly { readonly name: string; /** Objectives that are not met. */ readonly missed: readonly string[] }[];
  /** What could not be asked. */
  readonly unknown: readonly string[];
}

/** What activities are given once per worker process (or once per `resurgo rescue`). */
export interface ActivityDeps {
  readonly loaded: LoadedConfig;
  /** Name of this host; its own queue is `resurgo.host.<host>`. */
  readonly host: string;
  readonly version: string;
  readonly stores: StorePool;
  readonly keys: Keys;
  /** Whether the namespace has our search attributes. */
  readonly searchAttributes: boolean;
  /** Resolves when the workflow `workflowId` is closed. Absent in rescue. */
  readonly waitForClose?: (workflowId: string, signal: AbortSignal) => Promise<void>;
  /** Whether a workflow of that id runs now. Absent in rescue. */
  readonly isRunning?: (workflowId: string) => Promise<boolean>;
  /** The run of a public workflow that was started last, of those whose ids begin with `idPrefix`. Absent in rescue. */
  readonly newestRun?: (type: 'failover', idPrefix: string) => Promise<{ readonly workflowId: string; readonly startedAt: number; readonly running: boolean } | undefined>;
  /** Asks the parent of the run `workflowId` to cancel where its id begins with `prefix`; its id, undefined when there was none. Absent in rescue. */
  readonly cancelParent?: (workflowId: string, prefix: string) => Promise<string | undefined>;
  /** The result of a workflow, waiting for its end. @throws what it failed with. Absent in rescue. */
  readonly outcomeOf?: (workflowId: string, signal: AbortSignal) => Promise<unknown>;
  /** What Temporal knows of our schedules, as JSON. Absent in rescue. */
  readonly listSchedules?: () => Promise<unknown>;
  /** Hands an alert to its incident; resolves when Temporal has it. Absent in rescue. */
  readonly submitAlert?: (alert: Alert) => Promise<void>;
  /** Starts a run of a public workflow, once per id; resolves when Temporal has it. Absent in rescue. */
  readonly startRun?: (type: 'failover' | 'attachStandby', workflowId: string, input: object, summary: string) => Promise<void>;
  /** Tells people something apart from any incident, once per `dedupeKey`. Absent in rescue. */
  readonly startNotification?: (notification: Notification) => Promise<void>;
  /** Runs that have ended, as Temporal has them. Absent in rescue. */
  readonly runs?: {
    /** Those that closed at `since` (ms) or later, oldest first. */
    readonly closed: (since: number) => Promise<readonly ClosedRun[]>;
    readonly trace: (run: ClosedRun) => Promise<readonly Span[]>;
  };
  /** What `resurgo status` says. Absent in rescue. */
  readonly readiness?: () => Promise<Readiness>;
  /** Gets progress where there is no Temporal to heartbeat to. */
  readonly onProgress?: OnProgress;
  /** Aborts bulk work where there is no Temporal to cancel it. */
  readonly signal?: AbortSignal;
}
