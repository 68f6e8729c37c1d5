import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dnsSwitch } from '../../activities/actions/dns/switch.ts';
import type { ActionContext } from '../../domain/action.ts';
import { Rfc2136Provider, type Rfc2136Options } from '../../providers/dns/rfc2136.ts';
import { startBind, type BindServer } from '../support/bind.ts';
import { writeConfig } from '../support/cluster.ts';
import { depsOf } from '../support/in-process.ts';
import { stopAll } from '../support/index.ts';

let bind: BindServer;
let secondary: BindServer;
beforeAll(async () => {
  bind = await startBind({ records: ['db 5 IN A 192.0.2.1', 'pair IN A 192.0.2.7', 'pair IN A 192.0.2.8', 'alias IN CNAME db'] });
  secondary = await startBind({ primary: bind });
});
afterAll(stopAll);

const provider = (extra: Partial<Rfc2136Options> = {}): Rfc2136Provider =>
  new Rfc2136Provider({ server: bind.address, zone: 'example.test', timeoutMs: 20_000, key: { name: bind.keyName, algorithm: 'hmac-sha256', secret: bind.secret }, ...extra });

describe('A3 RFC 2136', () => {
  test('A3 reads, replaces, adds, removes; a second time is success; the serial moves', async () => {
    const dns = provider();
    expect(await dns.read('DB.example.test.', 'A')).toEqual({ name: 'db.example.test', type: 'A', ttl: 5, values: ['192.0.2.1'] });
    expect(await dns.read('nothing.example.test', 'A')).toBeUndefined();
    expect(await dns.read('alias.example.test', 'CNAME')).toMatchObject({ values: ['db.example.test'] });
    const before = await dns.read('pair.example.test', 'A');
    expect(before?.values).toEqual(['192.0.2.7', '192.0.2.8']);
    const next = { name: 'pair.example.test', type: 'A', ttl: 7, values: ['192.0.2.9'] } as const;
    await dns.upsert(next, before);
    // The answer of the first time was lost, say.
    await dns.upsert(next, before);
    expect(await dns.verify(next)).toMatch(/answers A 192\.0\.2\.9 \(TTL 7 s\), serial \d+/);
    const v6 = { name: 'six.example.test', type: 'AAAA', ttl: 9, values: ['2001:db8::1'] } as const;
    await dns.upsert(v6, undefined);
    expect(await dns.read('six.example.test', 'AAAA')).toEqual(v6);
    await dns.remove(v6);
    await dns.remove(v6);
    expect(await dns.read('six.example.test', 'AAAA')).toBeUndefined();
  });

  test('A3 what somebody else has set is left alone', async () => {
    const dns = provider();
    const db = await dns.read('db.example.test', 'A');
    await expect(dns.upsert({ name: 'db.example.test', type: 'A', ttl: 5, values: ['192.0.2.66'] }, { name: 'db.example.test', type: 'A', ttl: 5, values: ['192.0.2.99'] })).rejects.toMatchObject({ code: 'dnsConflict' });
    await expect(dns.upsert({ name: 'db.example.test', type: 'A', ttl: 5, values: ['192.0.2.66'] }, undefined)).rejects.toMatchObject({ code: 'dnsConflict' });
    expect(await dns.read('db.example.test', 'A')).toEqual(db);
  });

  test('A3 bad keys, bad names, bad values, servers that are gone or not authoritative: a code and words each', async () => {
    const next = { name: 'db.example.test', type: 'A', ttl: 5, values: ['192.0.2.66'] } as const;
    const now = await provider().read('db.example.test', 'A');
    const key = { name: bind.keyName, algorithm: 'hmac-sha256', secret: Buffer.alloc(32).toString('base64') } as const;
    await expect(provider({ key }).upsert(next, now)).rejects.toMatchObject({ code: 'dnsRefused', message: expect.stringContaining('BADSIG') as string });
    await expect(provider({ key: { ...key, name: 'other' } }).upsert(next, now)).rejects.toMatchObject({ code: 'dnsRefused', message: expect.stringContaining('BADKEY') as string });
    const open = new Rfc2136Provider({ server: bind.address, zone: 'example.test', timeoutMs: 1000 });
    await expect(open.upsert(next, now)).rejects.toMatchObject({ code: 'dnsRefused', message: expect.stringContaining('REFUSED') as string });
    await expect(provider().upsert({ ...next, values: ['300.1.1.1'] }, now)).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(provider().upsert({ ...next, name: 'db.other.test' }, now)).rejects.toMatchObject({ code: 'inputInvalid' });
    await expect(provider().read('www.elsewhere.test', 'A')).rejects.toMatchObject({ code: 'dnsRefused' });
    await expect(provider({ server: '127.0.0.1:1' }).read('db.example.test', 'A')).rejects.toMatchObject({ code: 'dnsUnreachable' });
    expect(await provider().read('db.example.test', 'A')).toEqual(now);
  });

  test('A3 a switch counts only when every authoritative server says so', async () => {
    const both = provider({ secondaries: [secondary.address] });
    const before = await both.read('db.example.test', 'A');
    const next = { name: 'db.example.test', type: 'A', ttl: 5, values: ['192.0.2.50'] } as const;
    await both.upsert(next, before);
    expect(await both.verify(next)).toContain(secondary.address);
    const lonely = provider({ secondaries: ['127.0.0.1:1'], timeoutMs: 500 });
    await expect(lonely.verify(next)).rejects.toMatchObject({ code: 'dnsUnverified' });
  });

  test('A3 the action dns.switch: capture, apply, probe, verify, compensate; never over what is not ours', async () => {
    const deps = depsOf(await writeConfig({ targets: { shop: { type: 'postgres', engine: 'logical', connection: 'postgres://x@127.0.0.1/x' } }, dns: { ns: bind.config() } }));
    const action = dnsSwitch(deps);
    const dns = provider();
    expect(() => action.parse({ name: 'x.example.test', values: [], typo: 1 })).toThrow(/typo/);
    const context = (values: string[]): ActionContext<unknown> => ({ runId: 'r', plan: 'p', stepId: 's', attempt: 1, fence: '1', mode: 'graceful', dryRun: false, signal: new AbortController().signal, report: () => undefined, input: action.parse({ name: 'svc.example.test', values, ttl: 6 }) });
    const first = context(['192.0.2.10']);
    expect(await action.check?.(first)).toEqual([expect.stringContaining('no record')]);
    const captured = await action.capture?.(first);
    expect(await action.probe?.(first, captured)).toBe('notApplied');
    await action.apply(first, captured);
    expect(await action.probe?.(first, captured)).toBe('applied');
    expect(await action.verify?.(first, captured, undefined)).toContain('192.0.2.10');

    const second = context(['192.0.2.11']);
    const between = await action.capture?.(second);
    const { summary } = await action.apply(second, between);
    expect(summary).toContain('192.0.2.10');
    // Of the first run: something newer is there now, it must not go back.
    await expect(action.compensate?.(first, captured, undefined)).rejects.toMatchObject({ code: 'dnsConflict' });
    expect(await action.compensate?.(second, between, undefined)).toContain('192.0.2.10');
    expect(await action.compensate?.(second, between, undefined)).toContain('as it was');
    await action.compensate?.(first, captured, undefined);
    expect(await dns.read('svc.example.test', 'A')).toBeUndefined();
  });
});
