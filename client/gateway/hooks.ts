/** One delivery, from raw bytes to alerts that Temporal has accepted. */
import { createHash } from 'node:crypto';
import { decideAlert, type Alert, type RawAlert } from '../../domain/alert.ts';
import type { WebhookConfig } from '../../config/schema-webhooks.ts';
import { authenticate, type HookSecrets } from './authenticate.ts';
import { readAlertmanager } from './formats/alertmanager.ts';
import { readSnsMessage } from './formats/cloudwatch.ts';
import type { Delivery, ReadAlerts } from './formats/format.ts';
import { readGeneric } from './formats/generic.ts';
import { readPagerDuty } from './formats/pagerduty.ts';
import { Bucket, Recent } from './limits.ts';
import { Problem } from './problem.ts';
import { SecretSet } from './secrets.ts';
import type { SnsVerifier } from './sns.ts';
import { strictJson } from './strict-json.ts';
import { groupAlerts, type Submit } from './submit.ts';

export interface Taken {
  readonly status: 202;
  readonly accepted: number;
  readonly known: number;
  readonly ignored: number;
  readonly reason?: string;
}

export interface HookDeps {
  readonly submit: Submit;
  readonly sns: SnsVerifier;
  readonly env: NodeJS.ProcessEnv;
  /** How long a delivery that was accepted is answered without asking Temporal again. */
  readonly recentMs: number;
  readonly now?: () => number;
}

export class Hook {
  readonly config: WebhookConfig;
  private readonly deps: HookDeps;
  private readonly secrets: HookSecrets;
  private readonly wanted: ReadonlySet<string>;
  private readonly bucket: Bucket;
  private readonly recent: Recent;

  /** @throws configInvalid when a secret is missing */
  constructor(config: WebhookConfig, deps: HookDeps) {
    this.config = config;
    this.deps = deps;
    const at = `webhooks.${config.name}`;
    this.secrets = {
      ...(config.token === undefined ? {} : { tokens: new SecretSet(config.token, `${at}.token`, deps.env) }),
      ...(config.hmac === undefined ? {} : { hmac: new SecretSet(config.hmac, `${at}.hmac`, deps.env) }),
    };
    this.wanted = new Set((config.rules ?? []).flatMap((rule) => Object.keys(rule.match ?? {})));
    this.bucket = new Bucket(config.rate);
    this.recent = new Recent(deps.recentMs);
  }

  /** @throws Problem */
  async take(headers: Readonly<Record<string, string | string[] | undefined>>, body: Buffer): Promise<Taken> {
    const { config, deps } = this;
    authenticate(config, this.secrets, headers, body, (deps.now ?? Date.now)());
    // After the signature: strangers cannot use up what is meant for the sender. 503, because 4xx would make the sender drop it.
    if (!this.bucket.take()) throw new Problem(503, 'more deliveries than are taken here; come again', 1);
    const { alerts: raw, ignored } = await this.read(strictJson(body), headers, body);
    const decided = raw.map((each) => decideAlert(each, `webhook/${config.name}`, config.rules ?? []));
    const alerts = decided.filter((each): each is Alert => each !== undefined);
    const fresh = alerts.filter((alert) => !this.recent.has(alert.key));
    await Promise.all(groupAlerts(fresh).map((group) => deps.submit(group)));
    // What has no id of its own may happen again at once: whether it is known depends on what ended meanwhile, which the incident knows.
    for (const alert of fresh) if (alert.ofContent !== true) this.recent.add(alert.key);
    return { status: 202, accepted: fresh.length, known: alerts.length - fresh.length, ignored: raw.length - alerts.length, ...(ignored === undefined ? {} : { reason: ignored }) };
  }

  private async read(payload: unknown, headers: Delivery['headers'], body: Buffer): Promise<ReadAlerts> {
    const { config, wanted } = this;
    if (config.format === 'sns' || config.format === 'cloudwatch') {
      const message = await this.deps.sns.take(payload, config.topics ?? [], headers);
      return message === undefined ? { alerts: [], ignored: 'subscription' } : scoped(config.name, readSnsMessage(message, wanted));
    }
    const delivery: Delivery = { hook: config, payload, headers, bodyDigest: createHash('sha256').update(body).digest('hex').slice(0, 32), wanted };
    const read = config.format === 'pagerduty' ? readPagerDuty : config.format === 'generic' ? readGeneric : readAlertmanager;
    return scoped(config.name, read(delivery));
  }
}

/** Keys are the sender's: two senders may use the same. */
function scoped(name: string, read: ReadAlerts): ReadAlerts {
  return { ...read, alerts: read.alerts.map((alert): RawAlert => ({ ...alert, key: hashed(name, alert.key), identity: hashed(name, alert.identity) })) };
}

const hashed = (name: string, key: string): string => createHash('sha256').update(`${name}\n${key}`).digest('base64url').slice(0, 22);
