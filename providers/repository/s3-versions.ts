/** Versions of objects in a bucket with Object Lock: a plain deletion only hides them, and frees nothing. */
import type { ObjectLock } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { type S3Connection, withSignal } from './s3-connection.ts';
import { classifyS3 } from './s3-errors.ts';

/** What the answer to a HEAD says of a lock; one that has ended is none. */
export function lockOfHead(answer: { readonly ObjectLockMode?: string | undefined; readonly ObjectLockRetainUntilDate?: Date | undefined; readonly ObjectLockLegalHoldStatus?: string | undefined }, now = Date.now()): ObjectLock | undefined {
  const until = answer.ObjectLockRetainUntilDate;
  if (answer.ObjectLockLegalHoldStatus === 'ON') return { mode: 'LEGAL_HOLD', until: null };
  if (answer.ObjectLockMode === undefined || until === undefined || until.getTime() <= now) return undefined;
  return { mode: answer.ObjectLockMode === 'COMPLIANCE' ? 'COMPLIANCE' : 'GOVERNANCE', until: until.toISOString() };
}

/**
 * Removes every version, and every mark of a deletion, below a prefix. What is gone already is success.
 * @throws repositoryDenied when a version is locked or may not be deleted; what could be deleted is gone then
 */
export async function deleteVersions(connection: S3Connection, prefix: string, signal: AbortSignal | undefined): Promise<number> {
  const { client, sdk, bucket, place } = connection;
  let count = 0;
  let refused: { key: string; message: string } | undefined;
  let refusals = 0;
  let [keyMarker, versionMarker]: [string | undefined, string | undefined] = [undefined, undefined];
  for (;;) {
    const page = await connection.call(`Listing versions of ${prefix}`, signal, async () =>
      client.send(new sdk.ListObjectVersionsCommand({ Bucket: bucket, Prefix: connection.full(prefix), KeyMarker: keyMarker, VersionIdMarker: versionMarker, MaxKeys: connection.tuning.pageKeys }), withSignal(signal)),
    );
    const objects = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].flatMap(({ Key, VersionId }) => (Key === undefined || VersionId === undefined ? [] : [{ Key, VersionId }]));
    if (objects.length > 0) {
      const answer = await connection.call(`Deleting ${String(objects.length)} versions`, signal, async () =>
        client.send(new sdk.DeleteObjectsCommand({ Bucket: bucket, Delete: { Quiet: true, Objects: objects } }), withSignal(signal)),
      );
      const failures = (answer.Errors ?? []).filter(({ Code }) => Code !== 'NoSuchKey' && Code !== 'NoSuchVersion');
      count += objects.length - failures.length;
      refusals += failures.length;
      const [first] = failures;
      // One that only failed is tried again, whatever else was refused.
      const failed = failures.find(({ Code, Message }) => classifyS3({ name: Code, message: Message }).code !== 'repositoryDenied');
      if (failed !== undefined)
        throw new ResurgoError('repositoryUnreachable', `${String(failures.length)} versions could not be deleted from ${place}; the first is ${failed.Key ?? ''}: ${failed.Code ?? ''} ${failed.Message ?? ''}`.trimEnd());
      if (first !== undefined) refused ??= { key: first.Key ?? '', message: `${first.Code ?? ''} ${first.Message ?? ''}`.trim() };
    }
    if (page.IsTruncated !== true) break;
    [keyMarker, versionMarker] = [page.NextKeyMarker, page.NextVersionIdMarker];
    if (keyMarker === undefined) break;
  }
  if (refused !== undefined) throw new ResurgoError('repositoryDenied', `${String(refusals)} versions stay in ${place}; the first is ${refused.key}: ${refused.message}`);
  return count;
}

/** Whether the bucket locks objects at all, and how by itself. Undefined where the store does not tell. */
export async function bucketLock(connection: S3Connection, signal: AbortSignal | undefined): Promise<{ readonly enabled: boolean; readonly byDefault?: string } | undefined> {
  const { client, sdk, bucket } = connection;
  return connection.call(`Asking for the Object Lock of ${bucket}`, signal, async () => {
    try {
      const { ObjectLockConfiguration: found } = await client.send(new sdk.GetObjectLockConfigurationCommand({ Bucket: bucket }), withSignal(signal));
      const rule = found?.Rule?.DefaultRetention;
      const span = rule?.Days !== undefined ? `${String(rule.Days)} days` : rule?.Years !== undefined ? `${String(rule.Years)} years` : undefined;
      return { enabled: found?.ObjectLockEnabled === 'Enabled', ...(span === undefined ? {} : { byDefault: `${rule?.Mode ?? ''} ${span}`.trim() }) };
    } catch (error) {
      const { word, code } = classifyS3(error);
      if (word === 'ObjectLockConfigurationNotFoundError') return { enabled: false };
      if (code === 'repositoryDenied' || code === 'unsupported') return undefined;
      throw error;
    }
  });
}
