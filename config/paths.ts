import path from 'node:path';
import type { Config, MemberConfig, RepositoryConfig, TargetConfig } from './schema.ts';
import { absoluteReferences } from './references.ts';
import { LiteralSecret } from './secret.ts';
import type { Secret } from './secret.ts';

/** The configuration with every relative path made absolute from `dir`. */
export function absolutePaths(config: Config, dir: string): Config {
  const at = (file: string): string => path.resolve(dir, file);
  const secret = (value: Secret): Secret =>
    !(value instanceof LiteralSecret) && 'file' in value ? { file: at(value.file) } : value;
  /** Applies `change` to the fields of `object` that are there. */
  const change = <T extends object, K extends keyof T>(
    object: T,
    keys: readonly K[],
    by: (value: NonNullable<T[K]>) => unknown,
  ): T => {
    const changed = keys.flatMap((key) =>
      object[key] === undefined || object[key] === null ? [] : [[key, by(object[key])]],
    );
    return { ...object, ...Object.fromEntries(changed) } as T;
  };
  const mapValues = <T>(record: Readonly<Record<string, T>>, by: (value: T) => T): Record<string, T> =>
    Object.fromEntries(Object.entries(record).map(([key, value]) => [key, by(value)]));

  const repository = (value: RepositoryConfig): RepositoryConfig =>
    value.type === 'disk'
      ? change(value, ['path'], at)
      : change(value, ['accessKeyId', 'secretAccessKey', 'sessionToken'], secret);
  const member = (value: MemberConfig): MemberConfig => change(value, ['connection', 'password'], secret);
  const target = (value: TargetConfig): TargetConfig => {
    const common = change(value, ['staging'], at);
    return common.type === 'postgres'
      ? change(
          change(change(common, ['connection', 'password'], secret), ['toolsDir'], at),
          ['members', 'standbys'],
          (members) => members.map(member),
        )
      : common.type === 'dataset'
        ? change(common, ['connection', 'password'], secret)
        : common;
  };

  return {
    ...config,
    ...(config.dns === undefined ? {} : { dns: mapValues(config.dns, (server) => change(server, ['key'], (key) => change(key, ['secret'], secret))) }),
    encryption: change(config.encryption, ['identity', 'passphrase', 'hostKey'], secret),
    repositories: mapValues(config.repositories, repository),
    targets: mapValues(config.targets, target),
    ...(config.approvers === undefined ? {} : { approvers: mapValues(config.approvers, (value) => change(value, ['token'], secret)) }),
    ...(config.actions === undefined ? {} : { actions: config.actions.map(at) }),
    ...(config.monitors === undefined ? {} : { monitors: absoluteReferences(config.monitors, at) }),
    ...(config.webhooks === undefined ? {} : { webhooks: absoluteReferences(config.webhooks, at) }),
    ...(config.notify === undefined ? {} : { notify: absoluteReferences(config.notify, at) }),
  };
}
