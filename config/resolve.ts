import { ResurgoError } from '../domain/errors.ts';
import type { LoadedConfig } from './load.ts';
import { resolveSecret } from './secret.ts';
import type { DiskRepositoryConfig, S3RepositoryConfig } from './schema.ts';

type Resolved<T> = { [K in keyof T]: T[K] extends string | number | boolean | undefined ? T[K] : string };
export type ResolvedRepository = DiskRepositoryConfig | Resolved<S3RepositoryConfig>;

/** Settings of a repository with its secrets in the clear: only for opening it. @throws configInvalid, configUnsafe */
export function resolveRepository({ config, path }: Pick<LoadedConfig, 'config' | 'path'>, name: string): ResolvedRepository {
  const settings = Object.hasOwn(config.repositories, name) ? config.repositories[name] : undefined;
  if (settings === undefined) throw new ResurgoError('configInvalid', `there is no repository "${name}" in ${path}`);
  if (settings.type === 'disk') return settings;
  const secrets: Record<string, string> = {};
  for (const key of ['accessKeyId', 'secretAccessKey', 'sessionToken'] as const) {
    const value = settings[key];
    if (value !== undefined) secrets[key] = resolveSecret(value, `repositories.${name}.${key}`);
  }
  return { ...settings, ...secrets } as Resolved<S3RepositoryConfig>;
}
