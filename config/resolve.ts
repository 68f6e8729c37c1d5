import { ResurgoError } from '../domain/errors.ts';
import type { LoadedConfig } from './load.ts';
import { resolveSecret } from './secret.ts';
import type { DiskRepositoryConfig, S3RepositoryConfig } from './schema.ts';

type SecretKey = 'accessKeyId' | 'secretAccessKey' | 'sessionToken';
export type ResolvedRepository =
  DiskRepositoryConfig | (Omit<S3RepositoryConfig, SecretKey> & { readonly [K in SecretKey]?: string });

/** Settings of a repository with its secrets in the clear: only for opening it. @throws configInvalid, configUnsafe */
export function resolveRepository(
  { config, path }: Pick<LoadedConfig, 'config' | 'path'>,
  name: string,
): ResolvedRepository {
  const settings = Object.hasOwn(config.repositories, name) ? config.repositories[name] : undefined;
  if (settings === undefined) throw new ResurgoError('configInvalid', `there is no repository "${name}" in ${path}`);
  if (settings.type === 'disk') return settings;
  const { accessKeyId, secretAccessKey, sessionToken, ...open } = settings;
  const secrets: { [K in SecretKey]?: string } = {};
  for (const [key, value] of Object.entries({ accessKeyId, secretAccessKey, sessionToken }) as [
    SecretKey,
    typeof accessKeyId,
  ][]) {
    if (value !== undefined) secrets[key] = resolveSecret(value, `repositories.${name}.${key}`);
  }
  return { ...open, ...secrets };
}
