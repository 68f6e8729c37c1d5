/** Large objects in parts; an interrupted upload is found again and only what is missing or different is sent. */
import type { CompletedPart, Part } from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import { mapBounded } from './bounded.ts';
import { type S3Connection, withSignal } from './s3-connection.ts';
import { classifyS3 } from './s3-errors.ts';
import { bareETag, checkAck, hexToBase64, md5Hex, sha256Hex, signPayload } from './s3-put.ts';
import { createUpload, findUpload, ifGone, listParts, type Upload, UploadGone } from './s3-uploads.ts';

const minPartBytes = 5 * 1024 ** 2;
const maxParts = 10_000;
const partsAtOnce = 4;

export interface MultipartOptions {
  readonly ifAbsent: boolean;
  readonly signal: AbortSignal | undefined;
}

/** @returns how many bytes were sent; parts found from an earlier upload are not. */
export async function putMultipart(
  connection: S3Connection,
  key: string,
  body: Uint8Array,
  options: MultipartOptions,
): Promise<number> {
  // Somebody may abort or complete the upload we work on (a sweep, an earlier try of ours): then once more from the start.
  for (let round = 1; ; round++) {
    const upload =
      (round === 1 ? await findUpload(connection, key, options.signal) : undefined) ??
      (await createUpload(connection, key, options.signal));
    try {
      return await finish(connection, key, upload, body, options);
    } catch (error) {
      if (!(error instanceof UploadGone) || round === 3)
        throw error instanceof UploadGone ? error.asError(connection, key) : error;
    }
  }
}

async function finish(
  connection: S3Connection,
  key: string,
  upload: Upload,
  body: Uint8Array,
  options: MultipartOptions,
): Promise<number> {
  const partBytes = Math.max(
    minPartBytes,
    connection.tuning.partBytes ?? 16 * 1024 ** 2,
    Math.ceil(body.length / maxParts),
  );
  const present = upload.found ? await listParts(connection, key, upload.id, options.signal) : new Map<number, Part>();
  let sent = 0;
  const numbers = Array.from({ length: Math.ceil(body.length / partBytes) }, (_, i) => i + 1);
  const parts = await mapBounded(numbers, partsAtOnce, async (n): Promise<CompletedPart> => {
    const slice = body.subarray((n - 1) * partBytes, n * partBytes);
    const kept = reuse(present.get(n), slice);
    if (kept !== undefined) return { PartNumber: n, ...kept };
    sent += slice.length;
    return sendPart(connection, key, upload.id, n, slice, options.signal);
  });
  await complete(connection, key, upload.id, parts, body, options);
  return sent;
}

/** A part that is there counts only when its size and digest are those of our bytes. */
function reuse(part: Part | undefined, slice: Uint8Array): { ETag: string; ChecksumSHA256?: string } | undefined {
  if (part?.Size !== slice.length || part.ETag === undefined) return undefined;
  if (part.ChecksumSHA256 !== undefined)
    return part.ChecksumSHA256 === hexToBase64(sha256Hex(slice))
      ? { ETag: part.ETag, ChecksumSHA256: part.ChecksumSHA256 }
      : undefined;
  return bareETag(part.ETag) === md5Hex(slice) ? { ETag: part.ETag } : undefined;
}

async function sendPart(
  connection: S3Connection,
  key: string,
  id: string,
  n: number,
  slice: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<CompletedPart> {
  const sha256 = sha256Hex(slice);
  const what = `Writing part ${String(n)} of ${key}`;
  return connection.call(what, signal, async ({ number }) => {
    const command = new connection.sdk.UploadPartCommand({
      Bucket: connection.bucket,
      Key: connection.full(key),
      UploadId: id,
      PartNumber: n,
      Body: slice,
      ContentLength: slice.length,
      ChecksumSHA256: hexToBase64(sha256),
    });
    const answer = await ifGone(connection.client.send(signPayload(command, sha256), withSignal(signal)));
    // Sent again when the store got something else; a store whose ETags are no digests would never agree, so not for ever.
    if (answer.ETag === undefined || (checkAck(answer, slice, sha256) === 'wrong' && number <= 2)) {
      throw Object.assign(new Error(`the store acknowledged ${answer.ETag ?? 'nothing'} for it`), {
        name: 'BadDigest',
      });
    }
    return {
      PartNumber: n,
      ETag: answer.ETag,
      ...(answer.ChecksumSHA256 === undefined ? {} : { ChecksumSHA256: answer.ChecksumSHA256 }),
    };
  });
}

async function complete(
  connection: S3Connection,
  key: string,
  id: string,
  parts: CompletedPart[],
  body: Uint8Array,
  options: MultipartOptions,
): Promise<void> {
  const expected = compositeETag(parts);
  const present = async (): Promise<boolean> => {
    const answer = await connection.client
      .send(
        new connection.sdk.HeadObjectCommand({ Bucket: connection.bucket, Key: connection.full(key) }),
        withSignal(options.signal),
      )
      .catch((error: unknown) => {
        if (classifyS3(error).code === 'objectMissing') return undefined;
        throw error;
      });
    return answer?.ContentLength === body.length && bareETag(answer.ETag) === expected;
  };
  let conditional = options.ifAbsent;
  await connection.call(`Completing ${key}`, options.signal, async ({ mayHaveHappened }) => {
    try {
      await connection.client.send(
        new connection.sdk.CompleteMultipartUploadCommand({
          Bucket: connection.bucket,
          Key: connection.full(key),
          UploadId: id,
          MultipartUpload: { Parts: parts },
          ...(conditional ? { IfNoneMatch: '*' } : {}),
        }),
        withSignal(options.signal),
      );
    } catch (error) {
      const failure = classifyS3(error);
      if (failure.word === 'NoSuchUpload' || isInvalidPart(error)) {
        // An earlier try that seemed to fail may have completed it.
        if (await present()) return;
        throw new UploadGone();
      }
      if (failure.code === 'objectExists' && mayHaveHappened && (await present())) return;
      if (conditional && failure.code === 'unsupported') {
        conditional = false;
        throw Object.assign(new Error('no conditional writes', { cause: error }), { name: 'OperationAborted' });
      }
      throw error;
    }
    const head = await connection.client.send(
      new connection.sdk.HeadObjectCommand({ Bucket: connection.bucket, Key: connection.full(key) }),
      withSignal(options.signal),
    );
    if (head.ContentLength !== body.length)
      throw new ResurgoError(
        'repositoryLost',
        `${key} was acknowledged by ${connection.place} with ${String(body.length)} bytes; it holds ${String(head.ContentLength)}.`,
      );
  });
}

const isInvalidPart = (error: unknown): boolean => (error as { name?: unknown } | null)?.name === 'InvalidPart';

/** MD5 of the parts' MD5s, `-`, their number: what S3 and most others answer. */
function compositeETag(parts: readonly CompletedPart[]): string {
  const all = Buffer.concat(parts.map((part) => Buffer.from(bareETag(part.ETag), 'hex')));
  return `${createHash('md5').update(all).digest('hex')}-${String(parts.length)}`;
}
