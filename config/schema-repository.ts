import { z } from 'zod';
import { secret } from './leaf-keys.ts';
import { filePath, flag, integer, mapping, oneOf, size, text, url } from './leaf.ts';

const maxRate = size('Upper limit of what is sent to it, per second.', { rate: true, min: 1024 }).optional();

export const diskRepository = mapping(
  {
    type: z.literal('disk'),
    path: filePath('Directory; made with mode 0700 when missing.'),
    maxRate,
  },
  'A directory of this host or a mounted file system.',
);

export const s3Repository = mapping(
  {
    type: z.literal('s3'),
    bucket: text('Name of the bucket; it must exist.', {
      example: 'dr-backups',
      check: (value) =>
        /^[A-Za-z0-9][A-Za-z0-9._:/-]{1,254}$/.test(value) && !value.includes('//')
          ? undefined
          : 'is not a bucket name',
    }),
    prefix: text('Everything is kept below it; a `/` at its end is added when missing.', {
      example: 'shop/',
      check: (value) =>
        value.startsWith('/') || /(^|\/)\.{0,2}(\/|$)/.test(value.replace(/\/$/, ''))
          ? 'must be a relative path without empty, "." or ".." parts'
          : undefined,
    }).optional(),
    region: text('Region of the bucket; default `AWS_REGION` or `us-east-1`.', {
      example: 'ap-northeast-2',
    }).optional(),
    endpoint: url('Address of an S3-compatible store; leave it out for AWS.').optional(),
    forcePathStyle: flag(
      'Put the bucket into the path instead of the host name; MinIO and its kin need it.',
    ).optional(),
    accessKeyId: secret(
      'Access key; without one the usual AWS chain (environment, profile, instance role) is used.',
    ).optional(),
    secretAccessKey: secret('Secret of the access key.').optional(),
    sessionToken: secret('Session token of temporary credentials.').optional(),
    sse: oneOf(['AES256', 'aws:kms'], "Server-side encryption asked of the store, on top of Resurgo's own.").optional(),
    sseKmsKeyId: text("KMS key for `sse: aws:kms`; default the bucket's.").optional(),
    storageClass: text('Storage class of the objects.', {
      example: 'STANDARD_IA',
      check: (value) => (/^[A-Z_0-9]+$/.test(value) ? undefined : 'is not a storage class'),
    }).optional(),
    objectLock: mapping(
      {
        mode: oneOf(['GOVERNANCE', 'COMPLIANCE'], 'Whether a privileged user may still delete.'),
        days: integer('For how long.', 1, 36_500),
      },
      'Locks every object; the bucket must have Object Lock enabled.',
    ).optional(),
    multipartThreshold: size('Objects larger than this are sent in several parts that can be resumed.', {
      min: 5 * 1024 ** 2,
      max: 5 * 1024 ** 3,
    }).default(64 * 1024 ** 2),
    maxRate,
  },
  'A bucket of AWS S3 or of a compatible store.',
);
