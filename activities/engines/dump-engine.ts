import type { LogicalFacts, PhysicalFacts, StreamRecord } from '../../domain/backup.ts';
import type { PreparedBackup } from '../../domain/operations.ts';
import type { BackupWriter, OnProgress } from '../../domain/ports.ts';
import type { ActivityDeps } from '../deps.ts';
import type { TargetSettings } from '../target-settings.ts';
import { dumpLogicalTarget } from './dump-logical.ts';
import { dumpPhysicalTarget } from './dump-physical.ts';

export interface DumpContext {
  readonly deps: ActivityDeps;
  readonly plan: PreparedBackup;
  readonly settings: TargetSettings;
  readonly writer: BackupWriter;
  readonly signal: AbortSignal;
  readonly report: OnProgress;
}

/** What an engine tells about the dump it wrote. */
export interface EngineDump {
  readonly facts: PhysicalFacts | LogicalFacts;
  readonly serverVersion: string;
  readonly toolVersion?: string;
  readonly engineManifest?: string;
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
  /** The engine's own completeness check against what was sealed. @throws contentMismatch, dumpEmpty */
  check(streams: readonly StreamRecord[]): void;
}

export function dumpEngine(deps: ActivityDeps, plan: PreparedBackup, settings: TargetSettings, io: Pick<DumpContext, 'writer' | 'signal' | 'report'>): Promise<EngineDump> {
  const context: DumpContext = { deps, plan, settings, ...io };
  return settings.engine === 'physical' ? dumpPhysicalTarget(context) : dumpLogicalTarget(context);
}
