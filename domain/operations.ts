/** Inputs and results of the workflows people start, and what passes between a workflow and its activities. JSON-safe, additive. */
import type { ArchiveStep } from './archive.ts';
import type { RecoveryPlan } from './recovery.ts';
import type { BackupCounts, BackupKind, Engine, VerifyDepth } from './backup.ts';

export type OnBusy = 'wait' | 'skip' | 'refuse';

export interface BackupInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  readonly kind?: BackupKind;
  readonly onBusy?: OnBusy;
  /** Who or what started it; shown in the manifest. */
  readonly startedBy?: string;
}

export interface RepositoryOutcome {
  readonly name: string;
  readonly status: 'verified' | 'failed';
  readonly depth?: VerifyDepth;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface BackupResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly kind: BackupKind;
  readonly engine: Engine;
  readonly parent: string | null;
  /** `available`: the provider says so (RDS); `verified`: read back. */
  readonly status: 'verified' | 'available' | 'skipped';
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly bytes: { readonly source: number; readonly stored: number };
  readonly repositories: readonly RepositoryOutcome[];
  /** False when a repository of the policy still lacks it (`degraded`). */
  readonly complete: boolean;
  readonly counts: BackupCounts;
  readonly warnings: readonly string[];
  /** What retention removed after this backup, where a rule of the configuration applies. */
  readonly pruned?: { readonly status: PruneReport['status']; readonly removed: number; readonly freedBytes: number };
}

/** Where the parts of one backup run live and what it is to do; made by `prepareBackup`, carried by the workflow. */
export interface PreparedBackup {
  readonly backup: string;
  readonly target: string;
  readonly systemId: string;
  readonly name: string;
  readonly kind: BackupKind;
  /** As it was asked for, where a full is taken instead. */
  readonly asked?: BackupKind;
  readonly engine: Engine;
  readonly parent: string | null;
  readonly chain: readonly string[];
  readonly startedAt: string;
  readonly startedBy: string;
  /** Names of the policy's repositories, the primary first. */
  readonly repositories: readonly string[];
  /** The store the dump is sealed into: a disk repository, or `spool`. */
  readonly primary: string;
  readonly configHash: string;
  readonly epochs: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
  /** Depth of the read-back. */
  readonly verify: VerifyDepth;
  /** Only for a set of an archive. */
  readonly archive?: ArchiveStep;
}

/** What the dump left on its host. */
export interface DumpedBackup {
  readonly attempt: string;
  /** Worker host that holds run file and spool; later steps go to its queue. */
  readonly host: string;
  readonly bytes: { readonly source: number; readonly stored: number };
  readonly counts: BackupCounts;
  readonly endedAt: string;
  readonly warnings: readonly string[];
}

export interface VerifyInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  /** Backup id, `latest`, a date, or all when left out. */
  readonly backup?: string;
  /** Decrypt and check the content too; needs an identity. */
  readonly deep?: boolean;
  readonly repositories?: readonly string[];
}

export interface VerifiedCopy {
  readonly backup: string;
  readonly kind: BackupKind;
  readonly repository: string;
  /** `unopened`: it may be whole; nothing on this host opens it. */
  readonly status: 'verified' | 'damaged' | 'unreachable' | 'unopened';
  readonly depth?: VerifyDepth;
  readonly bytes?: number;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface VerifyReport {
  readonly schemaVersion: 1;
  readonly target: string;
  /** `incomplete`: not everything could be read, or opened. */
  readonly status: 'verified' | 'damaged' | 'incomplete';
  readonly copies: readonly VerifiedCopy[];
  /** The WAL archive, one entry a repository; absent where none is kept, or one backup was asked for. */
  readonly wal?: readonly WalReadBack[];
}

/** A stretch of WAL that no repository read back has whole. */
export interface WalLoss {
  readonly lineage: string;
  readonly timeline: number;
  readonly fromLsn: string;
  readonly toLsn: string;
  readonly why: 'damaged' | 'missing';
  /** Moments, by the database's clock: the last that can be reached in front of it, the first stored behind it; null: not known. */
  readonly from: string | null;
  readonly to: string | null;
  /** The backup from whose end on points can be reached again; null: none is there yet. */
  readonly reachableAgainFrom: string | null;
}

/** What reading back the WAL archive in one repository found. */
export interface WalReadBack {
  readonly repository: string;
  /** `damaged`: something is damaged or missing, could not be healed, and no backup stands behind it. */
  readonly status: 'verified' | 'damaged' | 'unreachable' | 'unopened' | 'planned';
  readonly depth: VerifyDepth;
  /** Read this time. */
  readonly objects: number;
  readonly bytes: number;
  /** There in all, and of these never read back yet. */
  readonly total: number;
  readonly unread: number;
  /** Objects replaced or brought from another repository; names of the first. */
  readonly healed: number;
  readonly healedFrom: readonly string[];
  /** Damaged objects, the first in words. */
  readonly damaged: number;
  readonly problems: readonly string[];
  readonly losses: readonly WalLoss[];
  readonly error?: { readonly code: string; readonly message: string };
}

export type RestoreMode = 'in-place' | 'beside' | 'scratch';

export interface RestoreInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  /** Backup id, `latest` (default), or a date: the newest of that day or before. */
  readonly backup?: string;
  readonly mode?: RestoreMode;
  /** Point in time (physical with a WAL archive): ISO time or `latest`, LSN, or name of a restore point; one of them. */
  readonly time?: string;
  readonly lsn?: string;
  readonly point?: string;
  /** Where more than one history fits. */
  readonly timeline?: number;
  /** Database name or URL (logical), data directory (physical). */
  readonly to?: string;
  readonly only?: readonly string[];
  readonly noDowntime?: boolean;
  /** Per-table digests of the restored data in the result. */
  readonly digest?: boolean;
  readonly preview?: boolean;
  readonly onBusy?: OnBusy;
  readonly startedBy?: string;
}

export type StepOutcome = 'completed' | 'failed' | 'skipped' | 'compensated' | 'compensation-failed';

export interface RestoreStep {
  readonly name: string;
  readonly critical: boolean;
  readonly outcome: StepOutcome;
  readonly durationMs: number;
  readonly detail?: string;
}

/** Everything decided before anything is touched; the preview shows it. */
export interface RestorePlan {
  readonly id: string;
  readonly target: string;
  readonly engine: Engine;
  readonly mode: RestoreMode;
  readonly backup: string;
  /** Oldest first, ending with the backup itself. */
  readonly chain: readonly { readonly id: string; readonly name: string; readonly systemId: string }[];
  /** Repositories to read from, in order of preference. */
  readonly repositories: readonly string[];
  /** Without secrets. */
  readonly destination: string;
  readonly requiredBytes: number;
  readonly freeBytes: number | null;
  readonly stopsServices: boolean;
  /** In place: there is something at the destination that is replaced and kept. */
  readonly replaces: boolean;
  readonly configHash: string;
  readonly digest: boolean;
  readonly only: readonly string[];
  /** What the engine decided at planning time and later steps need; JSON, without secrets. */
  readonly engineState?: unknown;
  /** Point the data will stand at: time of the backup's end, and LSN for physical. */
  readonly recoversTo: { readonly time: string; readonly lsn?: string };
  /** To a point in time: the WAL that is replayed on top of the backup. */
  readonly recovery?: RecoveryPlan;
  readonly warnings: readonly string[];
  /** Newer backups that were meant (`latest`, a date) and are damaged; an older one is taken. */
  readonly passedOver?: readonly { readonly backup: string; readonly reason: string }[];
  readonly startedAt: string;
}

export interface RestoreVerification {
  readonly tables?: number;
  readonly rows?: number;
  readonly files?: number;
  readonly checks: readonly string[];
  readonly digests?: Readonly<Record<string, string>>;
}

export interface RestoreResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly backup: string;
  readonly mode: RestoreMode;
  readonly destination: string;
  readonly status: 'restored' | 'restored-with-warnings' | 'compensated' | 'failed' | 'preview';
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly steps: readonly RestoreStep[];
  readonly stepsExecuted: number;
  readonly stepsSuccessful: number;
  readonly restoredRecords: number | null;
  readonly recoveredTo: { readonly time: string; readonly lsn?: string } | null;
  readonly verification: RestoreVerification | null;
  readonly warnings: readonly string[];
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
  /** In place: what is kept until `restore confirm`. */
  readonly kept?: string;
  readonly plan?: RestorePlan;
}

export interface FinishRestoreInput {
  readonly schemaVersion?: 1;
  readonly id: string;
  readonly target: string;
  readonly action: 'confirm' | 'rollback';
}

export interface FinishRestoreResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly target: string;
  readonly action: 'confirm' | 'rollback';
  readonly status: 'confirmed' | 'rolled-back';
  readonly detail: string;
}

export interface PruneInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  /** Only say what would go. */
  readonly preview?: boolean;
  /** Default: all repositories of the target. */
  readonly repositories?: readonly string[];
  /** Objects go at once, also those of earlier removals that are still within their grace. */
  readonly now?: boolean;
  readonly onBusy?: OnBusy;
  readonly startedBy?: string;
}

/** One backup in one repository, and what retention decided about it. */
export interface PruneEntry {
  readonly id: string;
  readonly name: string;
  readonly systemId: string;
  readonly kind: BackupKind;
  readonly startedAt: string;
  readonly action: 'keep' | 'remove';
  /** In words. */
  readonly reasons: readonly string[];
  /** Stored bytes; null where its manifest cannot be read. */
  readonly bytes: number | null;
  /** What became of a removal; absent in a preview and for what is kept. */
  readonly outcome?: 'removed' | 'kept' | 'failed';
  readonly detail?: string;
  /** False: removed, and its versions in the store still cost space. */
  readonly freed?: false;
  /** Until then `backups undelete` brings it back, and its objects are still there; with outcome `kept`: the store locks it until then. */
  readonly until?: string;
}

/** WAL of one repository that nothing in its window needs. */
export interface PrunedWal {
  readonly objects: number;
  readonly bytes: number;
  readonly kept: number;
  /** Points in time from here on stay reachable. */
  readonly windowFrom: string;
  readonly reasons: readonly string[];
}

export interface PrunedRepository {
  readonly name: string;
  readonly status: 'pruned' | 'planned' | 'failed';
  /** False: no rule of the configuration applies here, the default ones were used. */
  readonly configured: boolean;
  /** What goes, in the order it goes, then what stays, newest first; both cut where they are long, the counts are not. */
  readonly backups: readonly PruneEntry[];
  readonly removed: number;
  readonly kept: number;
  /** Removals left for the next run. */
  readonly more: number;
  readonly freedBytes: number;
  /** Where WAL is archived: what of it goes, or went. */
  readonly wal?: PrunedWal;
  /** Earlier removals whose grace has ended: objects gone now. */
  readonly purged?: number;
  /** Removed, and still there for the time of grace. */
  readonly pendingBytes?: number;
  /** Removed by retention, and still there: locked by the store, or its versions may not be removed. */
  readonly notes?: readonly string[];
  readonly error?: { readonly code: string; readonly message: string };
}

export interface PruneReport {
  readonly schemaVersion: 1;
  readonly target: string;
  /** `incomplete`: something that was to go is still there, or a repository did not answer. */
  readonly status: 'pruned' | 'preview' | 'incomplete' | 'skipped';
  readonly repositories: readonly PrunedRepository[];
  readonly warnings: readonly string[];
}

/** What an activity decided about one repository. */
export interface PrunePlan {
  readonly repository: string;
  readonly configured: boolean;
  readonly remove: readonly (PruneEntry & { readonly chain: readonly string[] })[];
  readonly keep: readonly PruneEntry[];
  readonly kept: number;
  readonly more: number;
  readonly wal?: PrunedWal;
}

export interface WalArchiveInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  readonly startedBy?: string;
  /** Set by the workflow itself: base backups it has asked for. */
  readonly asked?: readonly { readonly stretch: string; readonly at: number }[];
}

export interface UpkeepInput {
  readonly schemaVersion?: 1;
  readonly target: string;
  /** Only say what would be done. */
  readonly preview?: boolean;
  readonly startedBy?: string;
}

export interface UpkeepItem {
  readonly action: 'copy' | 'heal' | 'read back' | 'forget';
  readonly backup: string;
  readonly name: string;
  readonly kind: BackupKind;
  readonly systemId: string;
  readonly startedAt: string;
  readonly repository: string;
  /** Repositories it may come from, best first. */
  readonly from: readonly string[];
  readonly bytes: number | null;
  readonly why: string;
}

export interface UpkeepPlan {
  readonly items: readonly UpkeepItem[];
  /** Left for the next run. */
  readonly more: number;
  readonly unreachable: readonly { readonly name: string; readonly code: string; readonly message: string }[];
  /** Damaged copies that no other repository has whole. */
  readonly hopeless: readonly { readonly backup: string; readonly repository: string }[];
}

export interface UpkeepReport {
  readonly schemaVersion: 1;
  readonly target: string;
  /** `incomplete`: something failed, is damaged beyond healing, or a repository did not answer. */
  readonly status: 'done' | 'preview' | 'incomplete' | 'skipped';
  readonly items: readonly (UpkeepItem & { readonly outcome: 'done' | 'damaged' | 'failed' | 'planned'; readonly detail?: string })[];
  readonly more: number;
  readonly warnings: readonly string[];
  /** The share of the WAL archive that was read back, one entry a repository. */
  readonly wal?: readonly WalReadBack[];
}
