/** What an engine is: how one sort of target is read, written back and looked at. docs/architecture.md says how to add one. */
import type { BackupCounts, BackupKind, EngineFacts, Manifest, StreamRecord } from '../../domain/backup.ts';
import type { Engine } from '../../domain/backup.ts';
import type { PreparedBackup } from '../../domain/operations.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import type { EngineCheck } from '../../providers/vault/verify.ts';
import type { ActivityDeps } from '../deps.ts';
import type { TargetSettings } from '../target-settings.ts';
import type { RestoreEngine } from './restore-engine.ts';

export interface PrepareContext {
  readonly deps: ActivityDeps;
  readonly settings: TargetSettings;
  readonly kind: BackupKind;
}

/** What is known of the source before anything is touched. */
export interface PreparedSource {
  /** Keeps apart what cannot be one chain: PostgreSQL's system identifier or the like. Becomes a path segment. */
  readonly systemId: string;
  readonly warnings: readonly string[];
  /** What speaks against building on this backup of the same system, besides what is said of every backup. Default nothing. */
  readonly refusesParent?: (parent: Manifest) => string | undefined;
}

export interface DumpContext {
  readonly deps: ActivityDeps;
  readonly plan: PreparedBackup;
  readonly settings: TargetSettings;
  readonly writer: BackupWriter;
  readonly signal: AbortSignal;
  readonly report: OnProgress;
  /** Without parallel workers, whatever is configured: an earlier attempt failed because of them. */
  readonly oneJob?: boolean;
  /** What a member of a group builds on; without it, what `plan.parent` names is read from the repository. */
  readonly parent?: { readonly engine: EngineFacts; readonly engineManifest: string };
}

/** What an engine tells about the dump it wrote. */
export interface EngineDump {
  readonly facts: EngineFacts;
  /** Shown by `backups`, besides parts and files. */
  readonly counts?: Omit<BackupCounts, 'parts' | 'files'> & { readonly files?: number };
  readonly wal?: NonNullable<Manifest['wal']>;
  readonly members?: NonNullable<Manifest['members']>;
  readonly serverVersion: string;
  readonly toolVersion?: string;
  /** Kept in the index for the next incremental; a host without the identity can read it. */
  readonly engineManifest?: string;
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
  /** The engine's own completeness check against what was sealed. @throws contentMismatch, dumpEmpty */
  check(streams: readonly StreamRecord[]): void;
}

export interface EngineDefinition {
  readonly name: Engine;
  /** Effect: none. @throws sourceUnreachable, sourceDenied, sourceVersion and whatever else speaks against this kind of backup now */
  prepare(context: PrepareContext): Promise<PreparedSource>;
  /** Effect: streams in the writer, and staging that is swept with the run. A dead dump is dumped again, whole. */
  dump(context: DumpContext): Promise<EngineDump>;
  /** What a backup has outside the repositories goes when its last copy there goes. Effect: gone; gone already is success. */
  removed?(settings: TargetSettings, backup: string): Promise<void>;
  restore(deps: ActivityDeps, settings: TargetSettings): RestoreEngine;
  /** Its own check of the plaintext read back (depth `content`), besides sizes and digests of the streams. */
  readonly contentCheck?: EngineCheck;
}

/** The other engines, by name: given to an engine that is made of them. */
export type EngineLookup = (name: Engine) => EngineDefinition;
