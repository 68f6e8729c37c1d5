/** Unfinished multipart uploads: begin, find, list, abort. */
import type { Part } from '@aws-sdk/client-s3';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { type S3Connection, Settled, withSignal } from './s3-connection.ts';
import { classifyS3 } from './s3-errors.ts';
import { placement } from './s3-put.ts';

/** The upload was completed or aborted by someone else. */
export class UploadGone extends Settled {
  asError(connection: S3Connection, key: string): ResurgoError {
    return new ResurgoError(
      'repositoryUnreachable',
      `The multipart upload of ${key} in ${connection.place} was ended by someone else three times.`,
      { cause: this },
    );
  }
}

export interface Upload {
  readonly id: string;
  readonly found: boolean;
}

export async function createUpload(
  connection: S3Connection,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Upload> {
  const answer = await connection.call(`Beginning ${key}`, signal, async () =>
    connection.client.send(
      new connection.sdk.CreateMultipartUploadCommand({
        Bucket: connection.bucket,
        Key: connection.full(key),
        ContentType: 'application/octet-stream',
        ChecksumAlgorithm: 'SHA256',
        ...placement(connection.settings),
      }),
      withSignal(signal),
    ),
  );
  if (answer.UploadId === undefined)
    throw new ResurgoError('unsupported', `${connection.place} began a multipart upload of ${key} without an id.`);
  return { id: answer.UploadId, found: false };
}

/** The newest unfinished upload of exactly this key. */
export async function findUpload(
  connection: S3Connection,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Upload | undefined> {
  let newest: { id: string; at: number } | undefined;
  try {
    for await (const upload of listUploads(connection, key, signal)) {
      if (upload.key === key && (newest === undefined || upload.at >= newest.at)) newest = upload;
    }
  } catch (error) {
    // Without the right or the ability to list uploads there is no resume, but an upload there is.
    if (isResurgoError(error, 'unsupported') || isResurgoError(error, 'repositoryDenied')) return undefined;
    throw error;
  }
  return newest && { id: newest.id, found: true };
}

/** Unfinished uploads of keys with this prefix. */
export async function* listUploads(
  connection: S3Connection,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ key: string; id: string; at: number }> {
  let KeyMarker: string | undefined;
  let UploadIdMarker: string | undefined;
  for (;;) {
    const page = await connection.call(`Listing uploads of ${prefix}`, signal, async () =>
      connection.client.send(
        new connection.sdk.ListMultipartUploadsCommand({
          Bucket: connection.bucket,
          Prefix: connection.full(prefix),
          KeyMarker,
          UploadIdMarker,
        }),
        withSignal(signal),
      ),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key?.startsWith(connection.prefix) === true && UploadId !== undefined)
        yield { key: Key.slice(connection.prefix.length), id: UploadId, at: Initiated?.getTime() ?? 0 };
    }
    if (page.IsTruncated !== true || (page.NextKeyMarker === KeyMarker && page.NextUploadIdMarker === UploadIdMarker))
      return;
    KeyMarker = page.NextKeyMarker;
    UploadIdMarker = page.NextUploadIdMarker;
  }
}

export async function listParts(
  connection: S3Connection,
  key: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<Map<number, Part>> {
  const parts = new Map<number, Part>();
  let PartNumberMarker: string | undefined;
  for (;;) {
    const page = await connection
      .call(`Listing parts of ${key}`, signal, async () =>
        ifGone(
          connection.client.send(
            new connection.sdk.ListPartsCommand({
              Bucket: connection.bucket,
              Key: connection.full(key),
              UploadId: id,
              PartNumberMarker,
            }),
            withSignal(signal),
          ),
        ),
      )
      .catch((error: unknown) => {
        if (isResurgoError(error, 'repositoryDenied') || isResurgoError(error, 'unsupported')) return undefined;
        throw error;
      });
    for (const part of page?.Parts ?? []) if (part.PartNumber !== undefined) parts.set(part.PartNumber, part);
    if (page?.IsTruncated !== true || page.NextPartNumberMarker === PartNumberMarker) return parts;
    PartNumberMarker = page.NextPartNumberMarker;
  }
}

export async function abortUpload(
  connection: S3Connection,
  key: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await connection.call(`Aborting the upload of ${key}`, signal, async () => {
    await connection.client
      .send(
        new connection.sdk.AbortMultipartUploadCommand({
          Bucket: connection.bucket,
          Key: connection.full(key),
          UploadId: id,
        }),
        withSignal(signal),
      )
      .catch((error: unknown) => {
        if (classifyS3(error).word !== 'NoSuchUpload') throw error;
      });
  });
}

/** @throws UploadGone where the store no longer knows the upload */
export async function ifGone<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (classifyS3(error).word === 'NoSuchUpload') throw new UploadGone('', { cause: error });
    throw error;
  }
}
