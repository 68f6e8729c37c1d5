import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';
import { type S3Connection, withSignal } from './s3-connection.ts';
import { classifyS3 } from './s3-errors.ts';

export interface Range {
  readonly offset?: number;
  readonly length?: number;
}

/**
 * Body of an object or a range of it, in one buffer of its exact size. A connection that ends early is an error that is tried again.
 * A range beyond the end gives what is there.
 */
export async function readObject(
  connection: S3Connection,
  key: string,
  range: Range,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const offset = range.offset ?? 0;
  const whole = offset === 0 && range.length === undefined;
  const last = range.length === undefined ? '' : String(offset + Math.max(range.length, 1) - 1);
  const what = `Reading ${key}`;
  return connection.call(what, signal, async () => {
    let answer: GetObjectCommandOutput;
    try {
      answer = await connection.client.send(
        new connection.sdk.GetObjectCommand({
          Bucket: connection.bucket,
          Key: connection.full(key),
          ...(whole ? {} : { Range: `bytes=${String(offset)}-${last}` }),
        }),
        withSignal(signal),
      );
    } catch (error) {
      const failure = classifyS3(error);
      if (failure.status === 416 || failure.word === 'InvalidRange') return Buffer.alloc(0);
      throw error;
    }
    const body = await collectBody(answer.Body as Readable, answer.ContentLength, signal);
    if (whole) return body;
    // A store may ignore the range and send everything.
    const start = answer.ContentRange === undefined ? offset : 0;
    return body.subarray(start, range.length === undefined ? undefined : start + range.length);
  });
}

async function collectBody(
  stream: Readable,
  size: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const stop = (): void => {
    stream.destroy(new Error('aborted'));
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const buffer = size === undefined ? undefined : Buffer.allocUnsafeSlow(size);
    const chunks: Buffer[] = [];
    let done = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (buffer === undefined) chunks.push(chunk);
      else if (done + chunk.length > buffer.length) throw broken(done + chunk.length, buffer.length);
      else chunk.copy(buffer, done);
      done += chunk.length;
    }
    if (buffer !== undefined && done !== buffer.length) throw broken(done, buffer.length);
    return buffer ?? Buffer.concat(chunks);
  } finally {
    signal?.removeEventListener('abort', stop);
    stream.destroy();
  }
}

const broken = (got: number, expected: number): Error =>
  Object.assign(new Error(`the answer had ${String(got)} of ${String(expected)} bytes`), { name: 'IncompleteBody' });
