import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { openStoreUrl, type S3Settings } from '../../providers/repository/open-store.ts';
import type { S3Tuning } from '../../providers/repository/s3-connection.ts';
import { openS3Store, type S3Store } from '../../providers/repository/s3-store.ts';
import { freePort, s3Missing, startS3, type S3Server } from '../support/index.ts';
import { S3FaultProxy } from '../support/s3-fault-proxy.ts';

const mebibyte = 1024 ** 2;

describe.skipIf(s3Missing() !== undefined)('B8 S3 under faults', () => {
  let server: S3Server;
  let proxy: S3FaultProxy;
  let store: S3Store;
  const opened: S3Store[] = [];
  const open = async (settings: Partial<S3Settings> = {}, tuning: S3Tuning = {}): Promise<S3Store> => {
    const { bucket, region, accessKeyId, secretAccessKey } = server;
    const s3 = await openS3Store(
      'remote',
      { type: 's3', bucket, prefix: 'dr', endpoint: proxy.endpoint, region, accessKeyId, secretAccessKey, ...settings },
      { backoffMs: 5, attempts: 4, partBytes: 5 * mebibyte, ...tuning },
    );
    opened.push(s3);
    return s3;
  };
  beforeAll(async () => {
    server = await startS3();
    proxy = await new S3FaultProxy(server.endpoint).start();
    store = await open({ multipartThreshold: 6 * mebibyte });
  });
  beforeEach(() => {
    proxy.reset();
  });
  afterAll(async () => {
    for (const s3 of opened) await s3.close();
    await proxy.stop();
    await server.stop();
  });

  test('slow down and server errors are tried again', async () => {
    proxy.break({ match: /^PUT/, fault: { kind: 'answer', status: 503, code: 'SlowDown' } });
    proxy.break({ match: /^PUT/, fault: { kind: 'answer', status: 500, code: 'InternalError' } });
    proxy.break({ match: /^PUT/, fault: { kind: 'answer', status: 500, code: '', body: '<html><p>oops</html>' } });
    await store.put('retried', Buffer.from('x'));
    expect(proxy.count(/^PUT/)).toBe(4);
    proxy.break({ match: /^GET/, fault: { kind: 'answer', status: 429, code: 'TooManyRequests' } });
    expect((await store.get('retried')).toString()).toBe('x');
  });

  test('a store that keeps asking to slow down is repositoryThrottled, with its own delay', async () => {
    const quick = await open({}, { attempts: 2 });
    proxy.break({
      times: 9,
      fault: { kind: 'answer', status: 503, code: 'SlowDown', headers: { 'retry-after': '0' } },
    });
    await expect(quick.put('never', Buffer.from('x'))).rejects.toMatchObject({
      code: 'repositoryThrottled',
      details: { retryAfterMs: 0 },
    });
    expect(proxy.count(/./)).toBe(2);
  });

  test('a cut connection before or after the work is tried again', async () => {
    for (const when of ['before', 'after'] as const) {
      proxy.break({ match: /^PUT/, fault: { kind: 'reset', when } });
      await store.put(`reset-${when}`, Buffer.from(when));
      expect((await store.get(`reset-${when}`)).toString()).toBe(when);
    }
  });

  test('a new object whose answer was lost is ours, not "exists already"', async () => {
    proxy.break({ match: /^PUT/, fault: { kind: 'reset', when: 'after' } });
    await store.put('answer-lost', Buffer.from('mine'), { ifAbsent: true });
    expect(proxy.count(/^PUT/)).toBe(2);
    // The same, but somebody else was quicker.
    proxy.break({ match: /^HEAD/, fault: { kind: 'answer', status: 404, code: 'NotFound' } });
    proxy.break({ match: /^PUT/, fault: { kind: 'reset', when: 'before' } });
    await expect(store.put('answer-lost', Buffer.from('other'), { ifAbsent: true })).rejects.toMatchObject({
      code: 'objectExists',
    });
    expect((await store.get('answer-lost')).toString()).toBe('mine');
  });

  test('a store without conditional writes still refuses what exists', async () => {
    const plain = await open();
    proxy.break({ match: /^PUT/, fault: { kind: 'answer', status: 501, code: 'NotImplemented' } });
    await plain.put('unconditional', Buffer.from('1'), { ifAbsent: true });
    await expect(plain.put('unconditional', Buffer.from('2'), { ifAbsent: true })).rejects.toMatchObject({
      code: 'objectExists',
    });
    expect((await plain.get('unconditional')).toString()).toBe('1');
  });

  test('refused access is said at once, without trying again', async () => {
    for (const [status, code] of [
      [403, 'AccessDenied'],
      [403, 'InvalidAccessKeyId'],
      [403, 'SignatureDoesNotMatch'],
      [400, 'ExpiredToken'],
      [301, 'PermanentRedirect'],
    ] as const) {
      proxy.reset();
      proxy.break({ times: 9, fault: { kind: 'answer', status, code } });
      await expect(store.get('anything'), code).rejects.toMatchObject({ code: 'repositoryDenied' });
      expect(proxy.count(/./), code).toBe(1);
    }
  });

  test('a full store is repositoryFull', async () => {
    proxy.break({ times: 9, fault: { kind: 'answer', status: 507, code: 'XMinioStorageFull' } });
    await expect(store.put('full', Buffer.from('x'))).rejects.toMatchObject({ code: 'repositoryFull' });
  });

  test('a bucket that is not there and an endpoint that is down are repositoryUnreachable', async () => {
    const none = await open({ bucket: 'no-such-bucket' });
    await expect(none.head('x')).rejects.toMatchObject({ code: 'repositoryUnreachable' });
    await expect(none.get('x')).rejects.toMatchObject({ code: 'repositoryUnreachable' });
    await expect(none.put('x', Buffer.of(1))).rejects.toMatchObject({ code: 'repositoryUnreachable' });
    await expect(none.listDirectories('')).rejects.toMatchObject({ code: 'repositoryUnreachable' });
    await expect(none.delete(['x'])).rejects.toMatchObject({ code: 'repositoryUnreachable' });
    const down = await open({ endpoint: `http://127.0.0.1:${String(await freePort())}` }, { attempts: 2 });
    await expect(down.get('x')).rejects.toMatchObject({
      code: 'repositoryUnreachable',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
  });

  test('an answer that ends early is read again', async () => {
    const body = randomBytes(300_000);
    await store.put('truncated', body);
    proxy.break({ match: /^GET/, times: 2, fault: { kind: 'truncate', bytes: 1000 } });
    expect((await store.get('truncated')).equals(body)).toBe(true);
    expect(proxy.count(/^GET/)).toBe(3);
    proxy.break({ match: /^GET/, fault: { kind: 'truncate', bytes: 10 } });
    expect((await store.get('truncated', { offset: 5, length: 1000 })).equals(body.subarray(5, 1005))).toBe(true);
  });

  test('a store that ignores ranges gives the right bytes', async () => {
    const body = randomBytes(1000);
    await store.put('whole', body);
    proxy.break({
      match: /^GET/,
      fault: { kind: 'answer', status: 200, code: '', body: body.toString('latin1').replaceAll(/[^\0-\x7f]/g, '?') },
    });
    expect((await store.get('whole', { offset: 10, length: 5 })).length).toBe(5);
  });

  test('a server that hangs is given up after the idle time', async () => {
    const impatient = await open({}, { idleTimeoutMs: 300 });
    proxy.break({ match: /^PUT/, fault: { kind: 'hang' } });
    await impatient.put('hung', Buffer.from('x'));
    proxy.break({ match: /^GET/, fault: { kind: 'hang' } });
    expect((await impatient.get('hung')).toString()).toBe('x');
  });

  test('cancelling ends a hanging request', async () => {
    proxy.break({ times: 9, fault: { kind: 'hang' } });
    const abort = new AbortController();
    const hanging = store.put('hang', Buffer.from('x'), { signal: abort.signal });
    await vi.waitUntil(() => proxy.seen.length > 0);
    abort.abort(new Error('enough'));
    await expect(hanging).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('an acknowledgement that does not fit is read back: harmless, or repositoryLost', async () => {
    const etag = { 'x-amz-checksum-sha256': '', etag: `"${'0'.repeat(32)}"` };
    proxy.break({ match: /^PUT/, fault: { kind: 'headers', set: etag } });
    await store.put('odd-etag', Buffer.from('kept'));
    proxy.break({ match: /^PUT/, fault: { kind: 'forget', headers: { etag: `"${'0'.repeat(32)}"` } } });
    await expect(store.put('forgotten', Buffer.from('lost'))).rejects.toMatchObject({ code: 'repositoryLost' });
    proxy.break({ match: /^PUT/, fault: { kind: 'forget', headers: {} } });
    await expect(store.put('forgotten', Buffer.from('lost'))).rejects.toMatchObject({ code: 'repositoryLost' });
  });

  test('the payload hash is signed, checksum, encryption, class and lock are asked for', async () => {
    const locked = await open({
      sse: 'aws:kms',
      kmsKeyId: 'key-1',
      storageClass: 'STANDARD_IA',
      objectLock: { mode: 'GOVERNANCE', days: 3 },
      multipartThreshold: 5 * mebibyte,
    });
    const body = randomBytes(1000);
    const sha256 = createHash('sha256').update(body).digest();
    proxy.break({ match: /^PUT/, fault: { kind: 'answer', status: 403, code: 'AccessDenied' } });
    await expect(locked.put('wanted', body)).rejects.toMatchObject({ code: 'repositoryDenied' });
    expect(proxy.headers[0]).toMatchObject({
      'x-amz-content-sha256': sha256.toString('hex'),
      'x-amz-checksum-sha256': sha256.toString('base64'),
      'content-length': '1000',
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-aws-kms-key-id': 'key-1',
      'x-amz-storage-class': 'STANDARD_IA',
      'x-amz-object-lock-mode': 'GOVERNANCE',
    });
    const until = Date.parse(String(proxy.headers[0]?.['x-amz-object-lock-retain-until-date']));
    expect(Math.abs(until - Date.now() - 3 * 86_400_000)).toBeLessThan(60_000);
    proxy.reset();
    proxy.break({ match: /^POST .*uploads/, fault: { kind: 'answer', status: 403, code: 'AccessDenied' } });
    await expect(locked.put('large', randomBytes(6 * mebibyte))).rejects.toMatchObject({ code: 'repositoryDenied' });
    expect(proxy.headers.at(-1)).toMatchObject({
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-object-lock-mode': 'GOVERNANCE',
    });
  });

  test('never more requests at once than sockets', async () => {
    const narrow = await open({}, { maxSockets: 3 });
    const before = proxy.peak;
    proxy.peak = 0;
    await Promise.all(Array.from({ length: 30 }, async (_, i) => narrow.put(`narrow/${String(i)}`, Buffer.of(i))));
    expect(proxy.peak).toBeLessThanOrEqual(3);
    proxy.peak = before;
  });

  describe('in parts', () => {
    const partPuts = (): number => proxy.count(/^PUT .*partNumber/);

    test('an interrupted upload goes on where it was', async () => {
      const body = randomBytes(23 * mebibyte);
      proxy.break({ match: /^PUT .*partNumber=4/, fault: { kind: 'answer', status: 403, code: 'AccessDenied' } });
      await expect(store.put('resumed', body)).rejects.toMatchObject({ code: 'repositoryDenied' });
      expect(await store.head('resumed')).toBeUndefined();
      const sentBefore = partPuts() - 1;
      proxy.reset();
      await store.put('resumed', body);
      expect(partPuts()).toBe(5 - sentBefore);
      expect(proxy.count(/^POST .*uploads(=|$)/)).toBe(0);
      expect((await store.get('resumed')).equals(body)).toBe(true);
    });

    test('parts of another content are sent again', async () => {
      const body = randomBytes(17 * mebibyte);
      proxy.break({ match: /^POST .*uploadId/, fault: { kind: 'answer', status: 403, code: 'AccessDenied' } });
      await expect(store.put('changed', body)).rejects.toMatchObject({ code: 'repositoryDenied' });
      proxy.reset();
      body[7 * mebibyte] = (body[7 * mebibyte] ?? 0) ^ 1;
      await store.put('changed', body);
      expect(partPuts()).toBe(1);
      expect((await store.get('changed')).equals(body)).toBe(true);
    });

    test('a part that is cut, refused or lost is sent again', async () => {
      const body = randomBytes(12 * mebibyte);
      proxy.break({ match: /partNumber=1/, fault: { kind: 'reset', when: 'before' } });
      proxy.break({ match: /partNumber=2/, fault: { kind: 'reset', when: 'after' } });
      proxy.break({ match: /partNumber=3/, fault: { kind: 'answer', status: 503, code: 'SlowDown' } });
      await store.put('parts-retried', body);
      expect((await store.get('parts-retried')).equals(body)).toBe(true);
    });

    test('a completion whose answer was lost is success', async () => {
      const body = randomBytes(8 * mebibyte);
      proxy.break({ match: /^POST .*uploadId/, fault: { kind: 'reset', when: 'after' } });
      await store.put('completed', body, { ifAbsent: true });
      expect((await store.get('completed')).equals(body)).toBe(true);
      await expect(store.put('completed', body, { ifAbsent: true })).rejects.toMatchObject({ code: 'objectExists' });
    });

    test('an upload that somebody aborts meanwhile begins again', async () => {
      const body = randomBytes(8 * mebibyte);
      proxy.break({ match: /partNumber=2/, fault: { kind: 'answer', status: 404, code: 'NoSuchUpload' } });
      await store.put('aborted', body);
      expect((await store.get('aborted')).equals(body)).toBe(true);
    });

    test('unfinished uploads are swept by age', async () => {
      proxy.break({ match: /^POST .*uploadId/, fault: { kind: 'answer', status: 403, code: 'AccessDenied' } });
      await expect(store.put('unfinished', randomBytes(7 * mebibyte))).rejects.toThrow();
      // The emulator says of every upload that it began in 2010.
      expect(await store.sweepTemporary(100 * 365 * 86_400_000)).toBe(0);
      expect(await store.sweepTemporary(3_600_000)).toBeGreaterThan(0);
      expect(await store.sweepTemporary(0)).toBe(0);
    });
  });

  describe('deleting', () => {
    const errors = (code: string): string =>
      `<?xml version="1.0"?><DeleteResult><Error><Key>dr/del/2</Key><Code>${code}</Code><Message>no</Message></Error></DeleteResult>`;

    test('names the keys that stayed', async () => {
      proxy.break({
        match: /^POST .*delete/,
        fault: { kind: 'answer', status: 200, code: '', body: errors('AccessDenied') },
      });
      await expect(store.delete(['del/1', 'del/2'])).rejects.toMatchObject({
        code: 'repositoryDenied',
        details: { keys: ['del/2'] },
      });
    });

    test('tries those again that failed for the moment', async () => {
      await store.put('del/2', Buffer.of(1));
      proxy.break({
        match: /^POST .*delete/,
        fault: { kind: 'answer', status: 200, code: '', body: errors('InternalError') },
      });
      await store.delete(['del/1', 'del/2']);
      expect(await store.head('del/2')).toBeUndefined();
    });

    test('goes one by one where the store has no batches', async () => {
      await store.put('del/3', Buffer.of(1));
      proxy.break({ match: /^POST .*delete/, fault: { kind: 'answer', status: 501, code: 'NotImplemented' } });
      await store.delete(['del/3', 'del/4']);
      expect(await store.head('del/3')).toBeUndefined();
    });
  });

  test('R6 an address alone opens it, with credentials of the environment', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', server.accessKeyId);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretAccessKey);
    try {
      await store.put('by-url', Buffer.from('x'));
      const byUrl = await openStoreUrl(
        `s3://${server.bucket}/dr?region=us-east-1&endpoint=${encodeURIComponent(proxy.endpoint)}&forcePathStyle=true`,
      );
      expect((await byUrl.get('by-url')).toString()).toBe('x');
      await byUrl.close();
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

const missing = s3Missing();
if (missing !== undefined) test.skip(`S3 is not tested here: ${missing}`, () => undefined);
