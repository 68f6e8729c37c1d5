/** What every layer needs to know of an engine without running it. The engines themselves: activities/engines/. */
import type { BackupKind, Engine } from './backup.ts';

export interface EngineTraits {
  /** Kinds of backups it can take. */
  readonly kinds: readonly BackupKind[];
  /** Why it takes no others, for the refusal. */
  readonly whyOnlyThese?: string;
  /** Its data stands as it was when the backup began, or when it ended. */
  readonly pointInTime: 'start' | 'end';
  /** What `restore --to` takes. */
  readonly destination: string;
}

const all = ['full', 'differential', 'incremental'] as const;
const onlyFull = { kinds: ['full'], pointInTime: 'start' } as const;

export const engineTraits: Readonly<Record<Engine, EngineTraits>> = {
  physical: { kinds: all, pointInTime: 'end', destination: 'an empty data directory' },
  logical: { ...onlyFull, whyOnlyThese: 'is dumped logically (pg_dump), which knows full backups only', destination: 'the name of a new database or a connection URL' },
  files: { kinds: all, pointInTime: 'start', destination: 'an empty directory' },
  config: { ...onlyFull, whyOnlyThese: 'is a configuration bundle, which is small and always taken whole', destination: 'an empty directory' },
  group: { kinds: all, pointInTime: 'start', destination: 'MEMBER=DEST for every member that is restored, separated by commas' },
  dataset: { ...onlyFull, whyOnlyThese: 'is a data set, which is always taken whole', destination: 'the name of a database or a connection URL' },
  archive: { ...onlyFull, whyOnlyThese: 'is an archive, which `resurgo archive` writes', destination: 'nowhere: see `resurgo archive fetch`' },
  rds: { ...onlyFull, whyOnlyThese: 'is an RDS instance, whose snapshots are always whole', destination: 'a new instance identifier' },
};

/** Engine of a target of the configuration: a PostgreSQL target names it, any other type is its own. */
export const engineOf = (target: { readonly type: string; readonly engine?: string | undefined }): Engine =>
  (target.type === 'postgres' ? target.engine : target.type) as Engine;
