/** Questions people ask the configuration. Names may be `constructor` or `toString`: never index records by hand. */
import { ResurgoError } from '../domain/errors.ts';
import type { BackupKind } from '../domain/backup.ts';
import type { ArchiveRuleConfig, Config, MemberConfig, ObjectivesConfig, ReplicationConfig, PolicyConfig, RepositoryConfig, TargetConfig } from './schema.ts';
import type { DrillConfig } from './schema-drill.ts';
import type { GameDayConfig } from './schema-gameday.ts';
import { defaultRetention, type RetentionRule } from '../domain/retention-rules.ts';
import { defaultPitrMs } from '../domain/wal-retention.ts';
import { didYouMean } from './suggest.ts';
import { replicationDefaults } from './schema-replication.ts';

const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

/** @throws targetUnknown */
export function targetOf(config: Config, name: string): TargetConfig {
  const target = own(config.targets, name);
  if (target) return target;
  const names = Object.keys(config.targets);
  throw new ResurgoError(
    'targetUnknown',
    `The configuration has no target ${JSON.stringify(name)}${didYouMean(name, names) || `; there are ${names.slice(0, 20).join(', ')}`}.`,
  );
}

/** @throws configInvalid */
export function repositoryOf(config: Config, name: string): RepositoryConfig {
  const repository = own(config.repositories, name);
  if (repository) return repository;
  const names = Object.keys(config.repositories);
  throw new ResurgoError(
    'configInvalid',
    `The configuration has no repository ${JSON.stringify(name)}${didYouMean(name, names) || `; there are ${names.slice(0, 20).join(', ')}`}.`,
  );
}

export const policiesOf = (config: Config, target: string): PolicyConfig[] =>
  (config.policies ?? []).filter((policy) => policy.targets.includes(target));

/**
 * Names of the repositories a backup of this kind goes to, in the order they are declared: those of the policies for
 * target and kind; else of its other policies; else the target's own list; else all. Without a kind: of all its policies.
 */
export function repositoriesFor(config: Config, target: string, kind?: BackupKind): string[] {
  const all = Object.keys(config.repositories);
  const fallback = targetOf(config, target).repositories ?? all;
  const policies = policiesOf(config, target);
  const fitting = policies.filter((policy) => kind === undefined || policy.kind === kind);
  const chosen = new Set(
    (fitting.length > 0 ? fitting : policies).flatMap((policy) => policy.repositories ?? fallback),
  );
  if (chosen.size === 0) for (const name of fallback) chosen.add(name);
  return all.filter((name) => chosen.has(name));
}

/**
 * Targets that a run which changes this one in place must hold, in the one order in which everybody takes them: itself, the members of a group, and the groups
 * that any of them is a member of (their backups read it).
 */
export function heldTogether(config: Config, target: string): string[] {
  const own = targetOf(config, target);
  const members = own.type === 'group' ? own.members : [];
  const touched = new Set([target, ...members]);
  const groups = Object.entries(config.targets).flatMap(([name, other]) => (other.type === 'group' && other.members.some((member) => touched.has(member)) ? [name] : []));
  return [...new Set([...touched, ...groups])].sort();
}

/** The rule that archives rows of a target; there is at most one. */
export const archiveRuleOf = (config: Config, target: string): ArchiveRuleConfig | undefined => config.archives?.find((rule) => rule.target === target);

export const objectivesOf = (config: Config, target: string): ObjectivesConfig =>
  targetOf(config, target).objectives ?? config.objectives;

/** The drill of a target; undefined where none is configured: it can be drilled all the same. */
export const drillOf = (config: Config, target: string): DrillConfig | undefined => (config.drills ?? []).find((one) => one.target === target);

/** The game day of a plan: on that target, or the first one. */
export const gameDayOf = (config: Config, plan: string, target?: string): GameDayConfig | undefined => (config.gamedays ?? []).find((one) => one.plan === plan && (target === undefined || one.target === target));

/**
 * Every server of a PostgreSQL target: its `members`, or `connection` (named `primary`, though which is primary is found out) and `standbys`.
 * Passwords fall back to the target's.
 */
export function membersOf(target: TargetConfig): MemberConfig[] {
  if (target.type !== 'postgres') return [];
  const inherit = (member: MemberConfig): MemberConfig =>
    member.password === undefined && target.password !== undefined ? { ...member, password: target.password } : member;
  if (target.members) return target.members.map(inherit);
  const first: MemberConfig[] =
    target.connection === undefined
      ? []
      : [
          {
            name: 'primary',
            connection: target.connection,
            ...(target.host === undefined ? {} : { host: target.host }),
            ...(target.dataDir === undefined ? {} : { dataDir: target.dataDir }),
            ...(target.service === undefined ? {} : { service: target.service }),
          },
        ];
  return [...first, ...(target.standbys ?? [])].map(inherit);
}

/** How the replication of a target is watched; undefined: it is not. A failover without being asked needs the watch. */
export function replicationOf(config: Config, target: string): ReplicationConfig | undefined {
  const own = targetOf(config, target);
  if (own.type !== 'postgres' || membersOf(own).length < 2) return undefined;
  return own.replication ?? config.replication ?? (own.failover?.automatic === true ? replicationDefaults : undefined);
}

/** Clusters whose replication is watched. */
export const watchedClusters = (config: Config): string[] => Object.keys(config.targets).filter((name) => replicationOf(config, name) !== undefined);

export interface AppliedRetention {
  readonly rules: readonly RetentionRule[];
  /** False: no rule of the configuration applies, these are the default ones. */
  readonly configured: boolean;
}

const rulesIn = (config: Config, target: string, repository: string): NonNullable<Config['retention']> =>
  (config.retention ?? []).filter((rule) => (rule.targets?.includes(target) ?? true) && (rule.repositories?.includes(repository) ?? true));

/** The retention rules that apply to a target in a repository; with a WAL archive also the one that keeps what its window begins with. */
export function retentionOf(config: Config, target: string, repository: string): AppliedRetention {
  const rules = rulesIn(config, target, repository);
  const window: RetentionRule[] = hasWal(config, target) ? [{ pitr: pitrOf(config, target, repository) }] : [];
  if (rules.length === 0) return { rules: [...defaultRetention, ...window], configured: false };
  return { rules: [...rules.map(({ targets: _, repositories: __, pitr: ___, ...rule }) => withoutUndefined(rule)), ...window], configured: true };
}

const withoutUndefined = (rule: object): RetentionRule =>
  Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined));

/** Where a target's backups may be pruned without being asked: a rule of the configuration applies to it there. */
export const prunedRepositories = (config: Config, target: string): string[] =>
  repositoriesFor(config, target).filter((repository) => retentionOf(config, target, repository).configured);

/** Where WAL of a target goes; the slot on the server moves only to what the required ones hold. */
export function walRepositories(config: Config, target: string): { name: string; required: boolean }[] {
  const names = repositoriesFor(config, target);
  const own = targetOf(config, target);
  const walRequired = own.type === 'postgres' ? own.walRequired : undefined;
  const first = names.find((name) => config.repositories[name]?.type === 'disk') ?? names[0];
  const required = new Set<string>(walRequired ?? (first === undefined ? [] : [first]));
  return [...new Set([...names, ...required])].map((name) => ({ name, required: required.has(name) }));
}

export function hasWal(config: Config, target: string): boolean {
  const own = targetOf(config, target);
  return own.type === 'postgres' && own.engine === 'physical' && own.wal === true;
}

/** How far back points in time stay reachable in a repository, ms: the one window of its base backups and of its WAL. */
export function pitrOf(config: Config, target: string, repository: string): number {
  const windows = rulesIn(config, target, repository).flatMap(({ pitr }) => (pitr === undefined ? [] : [pitr]));
  return windows.length === 0 ? defaultPitrMs : Math.max(...windows);
}
