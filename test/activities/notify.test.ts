import { createHmac } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { afterEach, describe, expect, test } from 'vitest';
import { routesOf, type Notification } from '../../domain/notification.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { notify, send } from '../../providers/notify/notify.ts';
import type { Channel } from '../../providers/notify/channel.ts';
import { startSink, type HttpSink } from '../support/http-sink.ts';

const message: Notification = {
  event: 'detected', also: ['started'], severity: 'critical', subject: 'shop: database incident <b>detected</b>\r\nBcc: all@example.test',
  text: 'connect failed & <script>alert(1)</script>\nplan fail-over started', dedupeKey: 'shop-1/1', group: 'resurgo/shop-1', facts: { incident: 'shop-1', service: 'shop', conditions: 'lag = 31 (threshold 30)' },
};
const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.stop();
});
async function sink(): Promise<HttpSink> {
  const started = await startSink();
  open.push(started);
  return started;
}
async function mailServer(options: { refuse?: number; auth?: boolean } = {}): Promise<{ port: number; mails: string[]; logins: string[] }> {
  const mails: string[] = [];
  const logins: string[] = [];
  const server = new SMTPServer({
    ...(options.auth === true ? { allowInsecureAuth: true, disabledCommands: ['STARTTLS'], onAuth: (login, _, done) => { logins.push(`${String(login.username)}:${String(login.password)}`); done(login.password === 'right' ? null : new Error('no'), { user: 'x' }); } } : { disabledCommands: ['AUTH', 'STARTTLS'] }),
    onRcptTo: (_, __, done) => { done(options.refuse === undefined ? undefined : Object.assign(new Error('no such mailbox'), { responseCode: options.refuse })); },
    onData: (stream, _, done) => { let text = ''; stream.on('data', (part: Buffer) => { text += part.toString('utf8'); }).on('end', () => { mails.push(text); done(); }); },
  });
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => { resolve(); }));
  open.push({ stop: () => new Promise((resolve) => { server.close(() => { resolve(); }); }) });
  return { port: (server.server.address() as AddressInfo).port, mails, logins };
}
const smtp = (port: number, more: Partial<Extract<Channel, { kind: 'smtp' }>> = {}): Channel => ({ kind: 'smtp', name: 'mail', host: '127.0.0.1', port, tls: false, requireTls: false, verifyTls: true, from: 'dr@example.test', to: ['ops@example.test', 'boss@example.test'], timeoutMs: 5000, ...more });

async function refusal(channel: Channel): Promise<{ code: string; message: string; details: Record<string, unknown> }> {
  try {
    await send(channel, message);
  } catch (error) {
    if (!isResurgoError(error)) throw error;
    return { code: error.code, message: error.message, details: error.details };
  }
  throw new Error('was sent');
}

describe('I3 notifications', () => {
  test('mail has text and HTML, escaped, no header of its own making, an id that stays the same', async () => {
    const { port, mails } = await mailServer();
    await send(smtp(port), message);
    await send(smtp(port), message);
    expect(mails).toHaveLength(2);
    const [mail = '', again = ''] = mails.map((text) => text.replaceAll('=\r\n', ''));
    expect(mail).toContain('multipart/alternative');
    expect(mail).toMatch(/Subject: \[critical\] shop: database incident <b>detected<\/b> Bcc:/);
    expect(mail).not.toMatch(/^Bcc:/m);
    expect(mail).toContain('&lt;script&gt;');
    expect(mail.slice(mail.indexOf('Content-Type: text/html'))).not.toContain('<script>');
    expect(mail).toContain('lag =3D 31 (threshold 30)');
    expect(/^Message-ID: (.*)$/m.exec(mail)?.[1]).toBe(/^Message-ID: (.*)$/m.exec(again)?.[1]);
  });

  test('a mailbox that is not there is refused for good, a server that is down or busy is not', async () => {
    const refused = await mailServer({ refuse: 550 });
    expect((await refusal(smtp(refused.port))).code).toBe('channelRefused');
    const busy = await mailServer({ refuse: 451 });
    expect((await refusal(smtp(busy.port))).code).toBe('channelUnreachable');
    expect((await refusal(smtp(1))).code).toBe('channelUnreachable');
    const login = await mailServer({ auth: true });
    expect(await refusal(smtp(login.port, { user: 'dr', password: 'secret-wrong' }))).toMatchObject({ code: 'channelRefused', message: expect.not.stringContaining('secret-wrong') });
    await send(smtp(login.port, { user: 'dr', password: 'right' }), message);
    expect(login.logins).toEqual(['dr:secret-wrong', 'dr:right']);
  });

  test('Slack: nobody is mentioned by what an alert says; throttling says when to come again', async () => {
    const http = await sink();
    const slack: Channel = { kind: 'slack', name: 'slack', url: `${http.url}/services/T0/B0/secret`, timeoutMs: 5000 };
    await send(slack, { ...message, subject: '<!channel> down', text: '<@U1> & <http://x|y>' });
    const body = http.received[0]?.body ?? '';
    expect(body).toContain('&lt;!channel&gt; down');
    expect(body).not.toMatch(/<[!@h]/);
    http.answers.push({ status: 429, headers: { 'retry-after': '7' } }, { status: 500, body: 'x' }, { status: 404, body: 'no_service' }, { status: 302, headers: { location: 'http://169.254.169.254/' } });
    expect(await refusal(slack)).toMatchObject({ code: 'channelThrottled', details: { retryAfterMs: 7000 } });
    expect((await refusal(slack)).code).toBe('channelUnreachable');
    const gone = await refusal(slack);
    expect(gone).toMatchObject({ code: 'channelRefused', message: expect.stringContaining('no_service') });
    expect(gone.message).not.toContain('secret');
    expect((await refusal(slack)).code).toBe('channelRefused');
    expect(http.received).toHaveLength(5);
  });

  test('PagerDuty: trigger, acknowledge and resolve carry one key; throttled is tried again', async () => {
    const http = await sink();
    const pagerduty: Channel = { kind: 'pagerduty', name: 'pd', routingKey: 'k'.repeat(32), endpoint: `${http.url}/v2/enqueue`, timeoutMs: 5000 };
    await send(pagerduty, message);
    await send(pagerduty, { ...message, event: 'acknowledged' });
    await send(pagerduty, { ...message, event: 'resolved', also: ['completed'] });
    expect(http.received.map((each) => each.json())).toMatchObject([
      { routing_key: 'k'.repeat(32), event_action: 'trigger', dedup_key: 'resurgo/shop-1', payload: { severity: 'critical', source: 'shop', summary: expect.not.stringContaining('\n') } },
      { event_action: 'acknowledge', dedup_key: 'resurgo/shop-1' },
      { event_action: 'resolve', dedup_key: 'resurgo/shop-1' },
    ]);
    http.answers.push({ status: 429 });
    expect((await refusal(pagerduty)).code).toBe('channelThrottled');
  });

  test('a webhook is signed, says what it repeats, and hides its address when it fails', async () => {
    const http = await sink();
    const webhook: Channel = { kind: 'webhook', name: 'hook', url: `${http.url}/in?key=secret`, token: 'tok', hmac: 'hush', timeoutMs: 5000 };
    await send(webhook, message);
    const [got] = http.received;
    const [, t = '', v1 = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(got?.headers['x-resurgo-signature'])) ?? [];
    expect(v1).toBe(createHmac('sha256', 'hush').update(`${t}.${got?.body ?? ''}`).digest('hex'));
    expect(got?.headers).toMatchObject({ authorization: 'Bearer tok', 'idempotency-key': 'shop-1/1' });
    expect(got?.json()).toMatchObject({ schemaVersion: 1, event: 'detected', also: ['started'], facts: { service: 'shop' } });
    const dead = await refusal({ ...webhook, url: 'http://127.0.0.1:1/in?key=secret' });
    expect(dead).toMatchObject({ code: 'channelUnreachable', message: expect.not.stringContaining('secret') });
  });

  test('one dead channel holds up no other, and nothing is thrown', async () => {
    const http = await sink();
    const outcomes = await notify([smtp(1), { kind: 'webhook', name: 'good', url: http.url, timeoutMs: 5000 }, { kind: 'slack', name: 'bad', url: 'no url', timeoutMs: 100 }], message);
    expect(outcomes.map(({ channel, status }) => `${channel} ${status}`)).toEqual(['mail failed', 'good sent', 'bad failed']);
  });

  test('routes: severity, events, and levels of escalation', () => {
    const channels = [{ name: 'all' }, { name: 'loud', minSeverity: 'high' as const }, { name: 'ends', events: ['resolved' as const] }, { name: 'tickets', events: ['ticket' as const] }];
    expect(routesOf(message, channels)).toEqual(['all', 'loud']);
    expect(routesOf({ ...message, severity: 'low', also: [] }, channels)).toEqual(['all']);
    expect(routesOf({ ...message, also: ['resolved'] }, channels)).toEqual(['all', 'loud', 'ends']);
    expect(routesOf({ ...message, event: 'ticket', also: [] }, channels)).toEqual(['tickets']);
    expect(routesOf({ ...message, severity: 'low', also: [], to: ['loud'] }, channels)).toEqual(['all', 'loud']);
    expect(routesOf({ ...message, to: ['ends'], only: true }, channels)).toEqual(['ends']);
  });
});
