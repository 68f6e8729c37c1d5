import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { ThrottledStore } from './decorators/throttled.ts';
import { DiskStore } from './disk-store.ts';

export interface DiskSettings {
  readonly type: 'disk';
  /** Absolute. */
  readonly path: string;
  /** Bytes per second, both directions together. */
  readonly maxRate?: number | undefined;
}

export interface S3Settings {
  readonly type: 's3';
  readonly bucket: string;
  readonly prefix?: string | undefined;
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly forcePathStyle?: boolean | undefined;
  /** Without keys: the default chain of the AWS SDK (environment, profile, instance role). */
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sessionToken?: string | undefined;
  readonly sse?: 'AES256' | 'aws:kms' | undefined;
  readonly kmsKeyId?: string | undefined;
  readonly storageClass?: string | undefined;
  /** Locks each object for this many days. */
  readonly objectLock?: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number } | undefined;
  /** Bytes per second, both directions together. */
  readonly maxRate?: number | undefined;
  /** Objects larger than this go in parts. Bytes, default 64 MiB. */
  readonly multipartThreshold?: number | undefined;
}

export type StoreSettings = DiskSettings | S3Settings;

/** A repository of the configuration, secrets resolved. Nothing is contacted yet. @throws configInvalid */
export async function openStore(name: string, settings: StoreSettings): Promise<ObjectStore> {
  const store = settings.type === 'disk' ? openDisk(name, settings.path) : await openS3(name, settings);
  return settings.maxRate === undefined ? store : new ThrottledStore(store, { bytesPerSecond: settings.maxRate });
}

/**
 * A repository by its address alone, for break glass: `/path`, `file:///path`, `s3://bucket/prefix?region=…&endpoint=…&forcePathStyle=true`.
 * S3 credentials come from the environment.
 * @throws inputInvalid
 */
export async function openStoreUrl(address: string): Promise<ObjectStore> {
  if (isAbsolute(address)) return openDisk(address, address);
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol === 'file:') {
    const path = fileURLToPath(url);
    return openDisk(path, path);
  }
  if (url?.protocol !== 's3:' || url.hostname === '')
    throw new ResurgoError(
      'inputInvalid',
      `${JSON.stringify(address)} is no repository address: give /path, file:///path or s3://bucket/prefix?region=…&endpoint=….`,
    );
  if (url.username !== '' || url.password !== '')
    throw new ResurgoError(
      'inputInvalid',
      'Credentials do not belong into a repository address; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
    );
  const unknown = [...url.searchParams.keys()].filter((key) => !['region', 'endpoint', 'forcePathStyle'].includes(key));
  if (unknown.length > 0)
    throw new ResurgoError('inputInvalid', `The repository address has unknown options: ${unknown.join(', ')}.`);
  const prefix = decodeURIComponent(url.pathname.replace(/^\/+/, ''));
  return openS3(`s3://${url.hostname}/${prefix}`, {
    type: 's3',
    // Not url.hostname's own spelling rules: bucket names are lower case anyway.
    bucket: url.hostname,
    prefix,
    region: url.searchParams.get('region') ?? undefined,
    endpoint: url.searchParams.get('endpoint') ?? undefined,
    forcePathStyle: url.searchParams.has('forcePathStyle')
      ? url.searchParams.get('forcePathStyle') === 'true'
      : undefined,
  });
}

function openDisk(name: string, path: string): DiskStore {
  if (!isAbsolute(path))
    throw new ResurgoError(
      'configInvalid',
      `The path of repository ${name} must be absolute, not ${JSON.stringify(path)}.`,
    );
  return new DiskStore({ name, path });
}

async function openS3(name: string, settings: S3Settings): Promise<ObjectStore> {
  const { openS3Store } = await import('./s3-store.ts');
  return openS3Store(name, settings);
}
