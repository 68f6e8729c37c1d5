/** Who sent it: tokens from headers, signatures over the raw bytes. Everything that is configured must fit. */
import type { WebhookConfig } from '../../config/schema-webhooks.ts';
import { Problem } from './problem.ts';
import { anyEquals, anySigned, type SecretSet } from './secrets.ts';

export interface HookSecrets {
  readonly tokens?: SecretSet;
  readonly hmac?: SecretSet;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

const one = (headers: Headers, name: string): string | undefined => {
  const value = headers[name.toLowerCase()];
  return typeof value === 'string' ? value : undefined;
};

/** `Bearer`, or the password of `Basic`, which browsers ask for; undefined for anything else. */
export function tokenOfAuthorization(header: string | undefined): string | undefined {
  const [scheme = '', rest = ''] = (header ?? '').split(/ +(.*)/s);
  if (/^bearer$/i.test(scheme) && rest !== '') return rest.trim();
  if (/^basic$/i.test(scheme)) {
    const login = Buffer.from(rest, 'base64').toString('utf8');
    return login.includes(':') ? login.slice(login.indexOf(':') + 1) : undefined;
  }
  return undefined;
}

/** From `Authorization`, or `X-Resurgo-Token` where that has another scheme. Never the URL: it stands in logs. */
function tokenOf(headers: Headers): string | undefined {
  const authorization = one(headers, 'authorization');
  // A login without a colon is none, whatever else is there.
  if (/^basic(?: |$)/i.test(authorization ?? '')) return tokenOfAuthorization(authorization);
  return tokenOfAuthorization(authorization) ?? one(headers, 'x-resurgo-token');
}

/** @throws Problem 401 or 403 */
export function authenticate(hook: WebhookConfig, secrets: HookSecrets, headers: Headers, body: Uint8Array, now: number): void {
  if (secrets.tokens !== undefined) {
    const token = tokenOf(headers);
    if (token === undefined || !anyEquals(secrets.tokens.all(), token)) throw new Problem(401, 'a token is needed: Authorization: Bearer …');
  }
  if (secrets.hmac !== undefined) checkSignature(hook, secrets.hmac.all(), headers, body, now);
}

function checkSignature(hook: WebhookConfig, secrets: readonly string[], headers: Headers, body: Uint8Array, now: number): void {
  const wrong = new Problem(403, 'the signature does not fit');
  if (hook.format === 'pagerduty') {
    // During a rotation PagerDuty signs with both keys: any that fits will do. The body has no signed time; the event's id is remembered instead.
    const given = (one(headers, hook.signatureHeader ?? 'x-pagerduty-signature') ?? '').split(',').flatMap((part) => (part.trim().startsWith('v1=') ? [part.trim().slice(3)] : []));
    if (!anySigned(secrets, given, [body])) throw wrong;
    return;
  }
  if (hook.format === 'grafana') {
    const given = (one(headers, hook.signatureHeader ?? 'x-grafana-alerting-signature') ?? '').replace(/^sha256=/i, '');
    if (hook.timestampHeader === undefined) {
      if (!anySigned(secrets, [given], [body])) throw wrong;
      return;
    }
    const time = one(headers, hook.timestampHeader) ?? '';
    if (!anySigned(secrets, [given], [`${time}:`, body])) throw wrong;
    fresh(time, hook.tolerance, now);
    return;
  }
  const header = one(headers, hook.signatureHeader ?? 'x-resurgo-signature') ?? '';
  const parts = header.split(',').map((part) => part.trim());
  const signatures = parts.flatMap((part) => (part.startsWith('v1=') ? [part.slice(3)] : part.startsWith('sha256=') ? [part.slice(7)] : /^[0-9a-f]{64}$/i.test(part) ? [part] : []));
  const time = parts.find((part) => part.startsWith('t='))?.slice(2) ?? (hook.timestampHeader === undefined ? undefined : one(headers, hook.timestampHeader));
  if (hook.timestampHeader !== undefined && time === undefined) throw new Problem(403, `header ${hook.timestampHeader} is missing`);
  if (!anySigned(secrets, signatures, time === undefined ? [body] : [`${time}.`, body])) throw wrong;
  if (time !== undefined) fresh(time, hook.tolerance, now);
}

/** Seconds since 1970, not older than the tolerance and not from the future. */
function fresh(seconds: string, toleranceMs: number, now: number): void {
  const ms = /^\d{1,12}$/.test(seconds) ? Number(seconds) * 1000 : NaN;
  if (!(Math.abs(now - ms) <= toleranceMs)) throw new Problem(403, 'the signed time is too old or in the future: is a clock wrong?');
}
