import type { Manifest } from '../../domain/backup.ts';
import type { RestoreInput, RestorePlan, RestoreVerification } from '../../domain/operations.ts';
import type { BackupReader, OnProgress } from '../../domain/ports.ts';
import type { BuiltRestore } from '../../workflows/restore-flow.ts';

export interface DestinationFacts {
  /** For people and for later steps; without secrets. */
  readonly destination: string;
  readonly stopsServices: boolean;
  readonly replaces: boolean;
  readonly requiredBytes: number;
  readonly freeBytes: number | null;
  readonly warnings: readonly string[];
  readonly engineState?: unknown;
  /** Where it is another moment than the backup's end. */
  readonly recoversTo?: { readonly time: string };
}

export interface Pulse {
  readonly signal: AbortSignal;
  readonly report: OnProgress;
}

/** What differs between restoring a cluster, a database, a tree of files … Every method may be called again after a crash. */
export interface RestoreEngine {
  /** Refuses what cannot work, before anything is touched. @throws destinationNotEmpty, destinationSpace, destinationBusy, toolMissing */
  inspect(input: RestoreInput & { readonly id: string }, chain: readonly Manifest[], open: () => Promise<BackupReader>): Promise<DestinationFacts>;
  build(plan: RestorePlan, chain: readonly BackupReader[], pulse: Pulse): Promise<BuiltRestore>;
  verify(plan: RestorePlan, chain: readonly BackupReader[], pulse: Pulse): Promise<RestoreVerification>;
  /** In place: the old data becomes the kept copy, the new takes its place. */
  swapIn(plan: RestorePlan): Promise<{ readonly kept?: string }>;
  swapBack(plan: RestorePlan): Promise<string>;
  /** Beside: final name. Scratch: gone. */
  settle(plan: RestorePlan): Promise<string>;
  discard(plan: RestorePlan): Promise<string>;
  /** Health of what was restored in place, when no hook says it. */
  health(plan: RestorePlan, pulse: Pulse): Promise<string>;
  /** Whether the old data of this very restore is kept just now: neither confirmed nor rolled back, nor undone. */
  keeps(plan: RestorePlan): Promise<boolean>;
  confirm(plan: RestorePlan): Promise<string>;
  rollback(plan: RestorePlan): Promise<string>;
  /** Whose service hooks run around the swap; default the target itself. */
  serviceTargets?(plan: RestorePlan): readonly string[];
}
