import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectInfo } from '../../domain/ports.ts';
import { type S3Connection, withSignal } from './s3-connection.ts';
import { isSafeKey } from './safe-key.ts';

export interface ListPage {
  readonly objects: readonly ObjectInfo[];
  /** Without their last slash. */
  readonly directories: readonly string[];
}

/**
 * Pages of a listing, keys relative to the repository. Keys that are not safe are passed over.
 * @param delimiter `/` to list one level only
 */
export async function* listPages(
  connection: S3Connection,
  prefix: string,
  delimiter: '/' | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<ListPage> {
  const seen = new Set<string>();
  let token: string | undefined;
  for (;;) {
    const page = await connection.call(`Listing ${prefix === '' ? 'everything' : prefix}`, signal, async () =>
      connection.client.send(
        // Encoded, because XML cannot carry every character a stranger's key may have.
        new connection.sdk.ListObjectsV2Command({
          Bucket: connection.bucket,
          Prefix: connection.full(prefix),
          Delimiter: delimiter,
          ContinuationToken: token,
          MaxKeys: connection.tuning.pageKeys,
          EncodingType: 'url',
        }),
        withSignal(signal),
      ),
    );
    const decode = page.EncodingType === 'url' ? decodeKey : (key: string | undefined) => key;
    const own = (key: string | undefined): string | undefined => {
      const decoded = decode(key);
      return decoded?.startsWith(connection.prefix + prefix) === true
        ? decoded.slice(connection.prefix.length)
        : undefined;
    };
    yield {
      objects: (page.Contents ?? []).flatMap(({ Key, Size, LastModified }) => {
        const key = own(Key);
        return key !== undefined && isSafeKey(key)
          ? [{ key, size: Size ?? 0, modifiedAt: (LastModified ?? new Date(0)).toISOString() }]
          : [];
      }),
      directories: (page.CommonPrefixes ?? []).flatMap(({ Prefix }) => {
        const key = own(Prefix)?.replace(/\/$/, '');
        return key !== undefined && isSafeKey(key) ? [key] : [];
      }),
    };
    if (page.IsTruncated !== true) return;
    token = page.NextContinuationToken;
    if (token === undefined || seen.has(token))
      throw new ResurgoError(
        'repositoryUnreachable',
        `The listing of ${prefix} in ${connection.place} does not come to an end.`,
      );
    seen.add(token);
  }
}

function decodeKey(key: string | undefined): string | undefined {
  try {
    return key === undefined ? undefined : decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}
