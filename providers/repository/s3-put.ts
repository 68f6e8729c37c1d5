import { createHash } from 'node:crypto';
import type { PutObjectCommandInput } from '@aws-sdk/client-s3';
import { ResurgoError } from '../../domain/errors.ts';
import type { S3Connection } from './s3-connection.ts';
import type { S3Settings } from './open-store.ts';

export const md5Hex = (body: Uint8Array): string => createHash('md5').update(body).digest('hex');
export const sha256Hex = (body: Uint8Array): string => createHash('sha256').update(body).digest('hex');
export const hexToBase64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64');

type Place = Pick<
  PutObjectCommandInput,
  'ServerSideEncryption' | 'SSEKMSKeyId' | 'StorageClass' | 'ObjectLockMode' | 'ObjectLockRetainUntilDate'
>;

/** Encryption, class and lock of a new object. */
export function placement(settings: S3Settings): Place {
  return {
    ...(settings.sse === undefined ? {} : { ServerSideEncryption: settings.sse }),
    ...(settings.sse !== 'aws:kms' || settings.kmsKeyId === undefined ? {} : { SSEKMSKeyId: settings.kmsKeyId }),
    ...(settings.storageClass === undefined
      ? {}
      : { StorageClass: settings.storageClass as NonNullable<PutObjectCommandInput['StorageClass']> }),
    ...(settings.objectLock === undefined
      ? {}
      : {
          ObjectLockMode: settings.objectLock.mode,
          ObjectLockRetainUntilDate: new Date(Date.now() + settings.objectLock.days * 86_400_000),
        }),
  };
}

interface Stack {
  add(
    middleware: (next: (args: never) => Promise<never>) => (args: never) => Promise<never>,
    options: { step: 'build'; name: string; priority: 'low' },
  ): void;
}

/**
 * Signs the SHA-256 we know instead of hashing the body once more. Every store that checks signatures compares it with what arrived.
 * @param command a fresh SDK command with a body
 */
export function signPayload<C extends { middlewareStack: unknown }>(command: C, sha256: string): C {
  (command.middlewareStack as Stack).add(
    (next) => async (args) => {
      (args as { request: { headers: Record<string, string> } }).request.headers['x-amz-content-sha256'] = sha256;
      return next(args);
    },
    { step: 'build', name: 'resurgoPayloadHash', priority: 'low' },
  );
  return command;
}

export interface Ack {
  readonly ETag?: string | undefined;
  readonly ChecksumSHA256?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
}

export const bareETag = (etag: string | undefined): string => (etag ?? '').replaceAll('"', '').toLowerCase();

/**
 * Whether the store's answer fits what was sent. Its SHA-256 when it gives one; else the ETag where that can be an MD5.
 * `unknown` when the answer proves nothing.
 */
export function checkAck(ack: Ack, body: Uint8Array, sha256: string): 'right' | 'wrong' | 'unknown' {
  if (ack.ChecksumSHA256 !== undefined) return ack.ChecksumSHA256 === hexToBase64(sha256) ? 'right' : 'wrong';
  const etag = bareETag(ack.ETag);
  // Every store answers a write with an ETag; an answer without one may come from something in between.
  if (etag === '') return 'wrong';
  if (
    !/^[0-9a-f]{32}$/.test(etag) ||
    ack.ServerSideEncryption === 'aws:kms' ||
    ack.ServerSideEncryption === 'aws:kms:dsse'
  )
    return 'unknown';
  return etag === md5Hex(body) ? 'right' : 'wrong';
}

/** The answer to a write did not fit: an ETag that is no MD5, or damage? Reading it back tells. @throws repositoryLost */
export function assertReadBack(connection: S3Connection, key: string, found: Buffer | undefined, sha256: string): void {
  if (found !== undefined && sha256Hex(found) === sha256) return;
  throw new ResurgoError(
    'repositoryLost',
    `${key} was acknowledged by ${connection.place}, but ${found === undefined ? 'it is not there' : `what it holds (${String(found.length)} bytes) is not what was sent`}.`,
  );
}
