import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectInfo, ObjectStore, PutOptions } from '../../domain/ports.ts';
import type { S3Settings } from './open-store.ts';
import { S3Connection, type S3Tuning, type Sdk, withSignal } from './s3-connection.ts';
import { deleteObjects } from './s3-delete.ts';
import { classifyS3 } from './s3-errors.ts';
import { listPages } from './s3-list.ts';
import { putMultipart } from './s3-multipart.ts';
import { assertReadBack, checkAck, hexToBase64, placement, sha256Hex, signPayload } from './s3-put.ts';
import { readObject } from './s3-read.ts';
import { bucketLock, deleteVersions, lockOfHead } from './s3-versions.ts';
import { abortUpload, listUploads } from './s3-uploads.ts';
import { compareKeys, safeKey, safePrefix } from './safe-key.ts';

/** Opens a bucket; the SDK is loaded only here. Nothing is contacted yet. @throws configInvalid */
export async function openS3Store(name: string, settings: S3Settings, tuning: S3Tuning = {}): Promise<S3Store> {
  const sdk: Sdk = await import('@aws-sdk/client-s3');
  return new S3Store(new S3Connection(name, settings, tuning, sdk));
}

/** A bucket of AWS S3 or of a store that speaks its protocol. */
export class S3Store implements ObjectStore {
  readonly kind = 's3' as const;
  readonly #connection: S3Connection;
  /** False once the store has said that it does not know `If-None-Match`. */
  #conditional = true;

  constructor(connection: S3Connection) {
    this.#connection = connection;
  }

  get name(): string {
    return this.#connection.name;
  }

  /** @throws objectExists, repositoryUnreachable, repositoryThrottled, repositoryDenied, repositoryFull, repositoryLost, cancelled */
  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<void> {
    safeKey(key);
    const ifAbsent = options.ifAbsent === true;
    // Also for stores that take the condition and ignore it: then only writers in the same instant are not told apart.
    if (ifAbsent && (await this.head(key, options.signal)) !== undefined) throw this.#exists(key);
    if (body.length > (this.#connection.settings.multipartThreshold ?? 64 * 1024 ** 2)) {
      await putMultipart(this.#connection, key, body, {
        ifAbsent: ifAbsent && this.#conditional,
        signal: options.signal,
      });
      return;
    }
    const sha256 = options.sha256 ?? sha256Hex(body);
    const ack = await this.#putWhole(key, body, sha256, ifAbsent, options.signal);
    if (ack === 'wrong')
      assertReadBack(
        this.#connection,
        key,
        await this.#connection.call(`Reading back ${key}`, options.signal, async () => this.#find(key, options.signal)),
        sha256,
      );
  }

  async get(key: string, options: { offset?: number; length?: number; signal?: AbortSignal } = {}): Promise<Buffer> {
    safeKey(key);
    // No range can ask for nothing.
    if (options.length === 0) {
      if ((await this.head(key, options.signal)) === undefined)
        throw new ResurgoError('objectMissing', `${key} is not in ${this.#connection.place}.`);
      return Buffer.alloc(0);
    }
    return readObject(this.#connection, key, options, options.signal);
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    safeKey(key);
    const { client, sdk, bucket } = this.#connection;
    return this.#connection.call(`Looking up ${key}`, signal, async () => {
      try {
        const answer = await client.send(
          new sdk.HeadObjectCommand({ Bucket: bucket, Key: this.#connection.full(key) }),
          withSignal(signal),
        );
        const lock = lockOfHead(answer);
        return { key, size: answer.ContentLength ?? 0, modifiedAt: (answer.LastModified ?? new Date(0)).toISOString(), ...(lock === undefined ? {} : { lock }) };
      } catch (error) {
        if (classifyS3(error).code !== 'objectMissing') throw error;
        // A HEAD has no body to say that the bucket is missing.
        if (!this.#connection.answered) await this.#assertBucket(signal);
        return undefined;
      }
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    safePrefix(prefix);
    for await (const page of listPages(this.#connection, prefix, undefined, signal)) yield* page.objects;
  }

  async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    safePrefix(prefix);
    const names: string[] = [];
    for await (const page of listPages(this.#connection, prefix, '/', signal))
      names.push(...page.directories.map((key) => key.slice(prefix.length)));
    return names.sort(compareKeys);
  }

  /** @throws repositoryDenied and others, with the keys that stayed in `details.keys` */
  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    keys.forEach(safeKey);
    await deleteObjects(this.#connection, keys, signal);
  }

  /** Nothing where this repository locks nothing: there a version that somebody keeps is their business. */
  async purge(prefix: string, signal?: AbortSignal): Promise<void> {
    safePrefix(prefix);
    if (this.#connection.settings.objectLock !== undefined) await deleteVersions(this.#connection, prefix, signal);
  }

  objectLock(signal?: AbortSignal): ReturnType<typeof bucketLock> {
    return bucketLock(this.#connection, signal);
  }

  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** Aborts multipart uploads begun longer ago than this (milliseconds), whose parts cost money unseen. Returns how many. */
  async sweepTemporary(olderThanMs: number, signal?: AbortSignal, prefix = ''): Promise<number> {
    safePrefix(prefix);
    const before = Date.now() - olderThanMs;
    let swept = 0;
    for await (const upload of listUploads(this.#connection, prefix, signal)) {
      if (upload.at > before) continue;
      await abortUpload(this.#connection, upload.key, upload.id, signal);
      swept++;
    }
    return swept;
  }

  close(): Promise<void> {
    this.#connection.close();
    return Promise.resolve();
  }

  async #putWhole(
    key: string,
    body: Uint8Array,
    sha256: string,
    ifAbsent: boolean,
    signal: AbortSignal | undefined,
  ): Promise<ReturnType<typeof checkAck>> {
    const { client, sdk, bucket, settings } = this.#connection;
    return this.#connection.call(`Writing ${key}`, signal, async ({ mayHaveHappened }) => {
      const command = new sdk.PutObjectCommand({
        Bucket: bucket,
        Key: this.#connection.full(key),
        Body: body,
        ContentLength: body.length,
        ContentType: 'application/octet-stream',
        ChecksumSHA256: hexToBase64(sha256),
        // Wanted beside the checksum wherever an object is locked, which a bucket may do by itself.
        ChecksumAlgorithm: 'SHA256',
        ...(ifAbsent && this.#conditional ? { IfNoneMatch: '*' } : {}),
        ...placement(settings),
      });
      try {
        return checkAck(await client.send(signPayload(command, sha256), withSignal(signal)), body, sha256);
      } catch (error) {
        const failure = classifyS3(error);
        // Our own earlier try may be what is there now.
        if (failure.code === 'objectExists' && mayHaveHappened) {
          const there = await this.#find(key, signal);
          if (there !== undefined && sha256Hex(there) === sha256) return 'right';
        }
        if (ifAbsent && this.#conditional && failure.code === 'unsupported') {
          this.#conditional = false;
          throw Object.assign(new Error('no conditional writes', { cause: error }), { name: 'OperationAborted' });
        }
        throw error;
      }
    });
  }

  /** One request, inside of the call it serves. */
  async #find(key: string, signal: AbortSignal | undefined): Promise<Buffer | undefined> {
    const { client, sdk, bucket } = this.#connection;
    try {
      const answer = await client.send(
        new sdk.GetObjectCommand({ Bucket: bucket, Key: this.#connection.full(key) }),
        withSignal(signal),
      );
      return Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
    } catch (error) {
      if (classifyS3(error).code === 'objectMissing') return undefined;
      throw error;
    }
  }

  async #assertBucket(signal: AbortSignal | undefined): Promise<void> {
    const { client, sdk, bucket, place } = this.#connection;
    await client.send(new sdk.HeadBucketCommand({ Bucket: bucket }), withSignal(signal)).catch((error: unknown) => {
      if (classifyS3(error).code === 'objectMissing')
        throw new ResurgoError('repositoryUnreachable', `There is no bucket ${bucket}: ${place}.`, {
          cause: error,
          details: { hint: 'Create the bucket, or mend `bucket`, `region` and `endpoint`.' },
        });
      // Reading a bucket's objects may be allowed where looking at the bucket is not.
      if (classifyS3(error).code !== 'repositoryDenied') throw error;
    });
  }

  #exists(key: string): ResurgoError {
    return new ResurgoError('objectExists', `${key} already exists in ${this.#connection.place}.`);
  }
}
