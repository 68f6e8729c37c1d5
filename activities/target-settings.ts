import type { Compression, Engine, VerifyDepth } from '../domain/backup.ts';
import { ResurgoError } from '../domain/errors.ts';
import { resolveSecret } from '../config/secret.ts';
import { membersOf, repositoriesFor, targetOf } from '../config/lookup.ts';
import { snapshotOf } from '../config/redact.ts';
import type { PostgresTargetConfig, ServiceConfig, TargetConfig } from '../config/schema.ts';
import { engineOf } from '../domain/engines.ts';
import type { ActivityDeps } from './deps.ts';

/** One server of a target that may be dialled. */
export interface Endpoint {
  readonly name: string;
  readonly url: () => string;
  readonly overrides: () => { readonly password?: string };
}

/** What activities need to know of a target, with defaults applied. Secrets are resolved when asked for, never kept. */
export interface TargetSettings<C extends TargetConfig = TargetConfig> {
  readonly name: string;
  readonly engine: Engine;
  readonly config: C;
  /** Of the redacted snapshot of this target; runs compare it. */
  readonly hash: string;
  readonly endpoints: readonly Endpoint[];
  readonly repositories: readonly string[];
  readonly compression: Compression;
  readonly compressionLevel: number | undefined;
  readonly verify: VerifyDepth;
  readonly host: string | undefined;
  readonly service: ServiceConfig | undefined;
  readonly dataDir: string | undefined;
  readonly toolsDirs: readonly string[];
  readonly spoolBytes: number;
}

/** Staging of a policy without a disk repository holds at most this much; beyond it the dump waits for the repositories. */
const spoolBytes = 4 * 1024 ** 3;

/**
 * @param expectedHash hash the run was started with
 * @throws targetUnknown; configMismatch when this worker's configuration of the target is another one
 */
export function targetSettings(deps: Pick<ActivityDeps, 'loaded'>, name: string, expectedHash?: string): TargetSettings {
  const { config } = deps.loaded;
  const target = targetOf(config, name);
  const { hash } = snapshotOf(deps.loaded, name);
  if (expectedHash !== undefined && expectedHash !== hash) {
    throw new ResurgoError('configMismatch', `target ${name} is configured differently on this worker (${hash}) than where the run was started (${expectedHash})`);
  }
  const members = membersOf(target);
  const repositories = repositoriesFor(config, name);
  const first = members[0];
  const postgres = target.type === 'postgres' ? target : undefined;
  return {
    name,
    engine: engineOf(target),
    config: target,
    hash,
    endpoints: members.map((member) => ({
      name: member.name,
      url: () => resolveSecret(member.connection, `targets.${name}.connection`),
      overrides: () => {
        const { password } = member;
        return password === undefined ? {} : { password: resolveSecret(password, `targets.${name}.password`) };
      },
    })),
    repositories,
    compression: target.compression,
    compressionLevel: target.compressionLevel,
    verify: target.verify,
    host: target.host,
    service: target.service ?? first?.service,
    dataDir: postgres?.dataDir ?? first?.dataDir,
    toolsDirs: postgres?.toolsDir === undefined ? [] : [postgres.toolsDir],
    spoolBytes,
  };
}

export type PostgresSettings = TargetSettings<PostgresTargetConfig>;

/** For the engines of PostgreSQL. */
export const postgresSettings = (settings: TargetSettings): PostgresSettings => settingsOf(settings, 'postgres');

/** Settings of a target whose type is known by its engine. @throws bug */
export function settingsOf<T extends TargetConfig['type']>(settings: TargetSettings, type: T): TargetSettings<Extract<TargetConfig, { readonly type: T }>> {
  if (settings.config.type !== type) throw new ResurgoError('bug', `target ${settings.name} is ${settings.config.type}, not ${type}`);
  return settings as TargetSettings<Extract<TargetConfig, { readonly type: T }>>;
}
