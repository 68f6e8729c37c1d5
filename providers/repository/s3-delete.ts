import type { DeleteObjectsCommandOutput } from '@aws-sdk/client-s3';
import { ResurgoError } from '../../domain/errors.ts';
import { sleep } from './abort.ts';
import { mapBounded } from './bounded.ts';
import { type S3Connection, withSignal } from './s3-connection.ts';
import { classifyS3 } from './s3-errors.ts';

const batch = 1000;

/** Deletes in batches, and one by one where the store has no batches. @throws with the keys that stayed in `details.keys` */
export async function deleteObjects(
  connection: S3Connection,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let i = 0; i < keys.length; i += batch) {
    let left: readonly string[] = keys.slice(i, i + batch);
    for (let attempt = 1; left.length > 0; attempt++) {
      const failures = await deleteBatch(connection, left, signal);
      if (failures === 'unsupported') {
        await deleteOneByOne(connection, left, signal);
        break;
      }
      if (failures.length === 0) break;
      const worst = failures.find((f) => !f.retry) ?? failures[0];
      if (worst?.retry === false || attempt === 5) {
        throw new ResurgoError(
          worst?.code ?? 'repositoryUnreachable',
          `${String(failures.length)} of ${String(keys.length)} objects could not be deleted from ${connection.place}; the first is ${worst?.key ?? ''}: ${worst?.word ?? ''} ${worst?.message ?? ''}`.trimEnd(),
          {
            details: { keys: failures.map((f) => f.key) },
          },
        );
      }
      left = failures.map((f) => f.key);
      await sleep(Math.random() * 200 * 2 ** attempt, signal, 'Deleting');
    }
  }
}

type Failure = ReturnType<typeof classifyS3> & { readonly key: string };

async function deleteBatch(
  connection: S3Connection,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Failure[] | 'unsupported'> {
  let answer: DeleteObjectsCommandOutput | 'unsupported';
  try {
    answer = await connection.call(`Deleting ${String(keys.length)} objects`, signal, async () => {
      const request = new connection.sdk.DeleteObjectsCommand({
        Bucket: connection.bucket,
        Delete: { Quiet: true, Objects: keys.map((key) => ({ Key: connection.full(key) })) },
      });
      return connection.client.send(request, withSignal(signal)).catch((error: unknown) => {
        if (noBatches(error)) return 'unsupported' as const;
        throw error;
      });
    });
  } catch (error) {
    if (keys.length === 1 || !(error instanceof ResurgoError) || error.code !== 'unsupported') throw error;
    return 'unsupported';
  }
  if (answer === 'unsupported') return answer;
  return (answer.Errors ?? [])
    .filter(({ Code }) => Code !== 'NoSuchKey')
    .map(({ Key, Code, Message }) => ({
      ...classifyS3({ name: Code, message: Message }),
      key: (Key ?? '').slice(connection.prefix.length),
    }));
}

/** Stores without multi-object delete, or with other demands on its checksum. */
function noBatches(error: unknown): boolean {
  const { word, status } = classifyS3(error);
  return (
    status === 501 ||
    status === 405 ||
    [
      'NotImplemented',
      'MethodNotAllowed',
      'MissingContentMD5',
      'InvalidArgument',
      'InvalidRequest',
      'MalformedXML',
    ].includes(word)
  );
}

async function deleteOneByOne(
  connection: S3Connection,
  keys: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  await mapBounded(keys, 8, async (key) =>
    connection.call(`Deleting ${key}`, signal, async () => {
      await connection.client
        .send(
          new connection.sdk.DeleteObjectCommand({ Bucket: connection.bucket, Key: connection.full(key) }),
          withSignal(signal),
        )
        .catch((error: unknown) => {
          if (classifyS3(error).word !== 'NoSuchKey') throw error;
        });
    }),
  );
}
