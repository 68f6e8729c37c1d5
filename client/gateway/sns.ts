/** Amazon SNS over HTTP: who signed it, where its certificate may come from, which subscription is confirmed. */
import { createVerify, X509Certificate } from 'node:crypto';
import type { SnsNotification } from './formats/cloudwatch.ts';
import { isObject } from './formats/read.ts';
import { Problem } from './problem.ts';

/** From AWS's own validator. */
const hostPattern = /^sns\.([a-zA-Z0-9-]{3,})\.amazonaws\.com(\.cn)?$/;
const notificationKeys = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'] as const;
const controlKeys = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'] as const;
/** SNS sends a message again for up to an hour, with the time it was first sent. */
const maxAgeMs = 75 * 60_000;
const maxCertificates = 20;
const certificateMs = 24 * 3_600_000;

export type FetchText = (url: string) => Promise<string>;

/** Follows no redirect, reads no more than 64 KiB, waits no longer than 3 s. */
export const fetchText: FetchText = async (url) => {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(3000) });
  if (!response.ok) throw new Error(`status ${String(response.status)}`);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > 65_536) throw new Error('longer than 64 KiB');
    parts.push(chunk as Uint8Array);
  }
  return Buffer.concat(parts).toString('utf8');
};

/** Only AWS's own addresses, of the topic's own region: a message chooses this URL. @throws Problem 403 */
export function awsUrl(value: string, what: string, topicArn: string, endsWith = ''): URL {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const host = hostPattern.exec(url?.hostname ?? '');
  const region = topicArn.split(':')[3];
  if (url?.protocol !== 'https:' || host === null || url.port !== '' || url.username !== '' || url.password !== '' || host[1] !== region || !url.pathname.endsWith(endsWith)) {
    throw new Problem(403, `${what} is not an address of SNS in ${String(region)}`);
  }
  return url;
}

export function stringToSign(message: Readonly<Record<string, string>>): string {
  const keys = message['Type'] === 'Notification' ? notificationKeys : controlKeys;
  return keys.flatMap((key) => (message[key] === undefined ? [] : [`${key}\n${message[key]}\n`])).join('');
}

interface Held { readonly until: number; readonly certificate: Promise<X509Certificate> }

export class SnsVerifier {
  private readonly held = new Map<string, Held>();
  private readonly fetchText: FetchText;
  private readonly now: () => number;

  constructor(options: { fetchText?: FetchText; now?: () => number } = {}) {
    this.fetchText = options.fetchText ?? fetchText;
    this.now = options.now ?? Date.now;
  }

  /** The message when it is really from one of these topics; a confirmed subscription or a goodbye gives undefined. @throws Problem */
  async take(payload: unknown, topics: readonly string[], headers: Readonly<Record<string, string | string[] | undefined>>): Promise<SnsNotification | undefined> {
    if (headers['x-amz-sns-rawdelivery'] !== undefined && headers['x-amz-sns-rawdelivery'] !== 'false') throw new Problem(403, 'raw message delivery carries no signature: turn it off for this subscription');
    const message = Object.create(null) as Record<string, string>;
    if (isObject(payload)) for (const [key, value] of Object.entries(payload)) if (typeof value === 'string') message[key] = value;
    const { Type, MessageId, TopicArn, Timestamp, Message, Signature, SigningCertURL, SignatureVersion } = message;
    if (Type === undefined || MessageId === undefined || TopicArn === undefined || Timestamp === undefined || Message === undefined || Signature === undefined || SigningCertURL === undefined) {
      throw new Problem(422, 'the body is not an SNS message: Type, MessageId, TopicArn, Timestamp, Message, Signature and SigningCertURL belong to it');
    }
    if (!topics.includes(TopicArn)) throw new Problem(403, `topic ${TopicArn.slice(0, 200)} is not listened to here`);
    if (!['Notification', 'SubscriptionConfirmation', 'UnsubscribeConfirmation'].includes(Type)) throw new Problem(422, 'unknown type of SNS message');
    const algorithm = SignatureVersion === '2' ? 'RSA-SHA256' : SignatureVersion === '1' ? 'RSA-SHA1' : undefined;
    if (algorithm === undefined) throw new Problem(403, 'unknown version of the SNS signature');
    const certificate = await this.certificate(awsUrl(SigningCertURL, 'SigningCertURL', TopicArn, '.pem').href);
    const valid = createVerify(algorithm).update(stringToSign(message), 'utf8').verify(certificate.publicKey, Signature, 'base64');
    if (!valid) throw new Problem(403, 'the signature does not fit');
    const age = this.now() - Date.parse(Timestamp);
    if (!(age < maxAgeMs && age > -15 * 60_000)) throw new Problem(403, 'the message is too old');
    if (Type === 'Notification') return { messageId: MessageId, topicArn: TopicArn, message: Message, timestamp: Timestamp, ...(message['Subject'] === undefined ? {} : { subject: message['Subject'] }) };
    if (Type === 'SubscriptionConfirmation') {
      const url = awsUrl(message['SubscribeURL'] ?? '', 'SubscribeURL', TopicArn);
      if (url.searchParams.get('Action') !== 'ConfirmSubscription') throw new Problem(403, 'SubscribeURL confirms no subscription');
      await this.fetchText(url.href).catch((error: unknown) => {
        throw new Problem(503, `the subscription could not be confirmed: ${error instanceof Error ? error.message : String(error)}`, 20);
      });
    }
    return undefined;
  }

  private async certificate(url: string): Promise<X509Certificate> {
    const known = this.held.get(url);
    if (known !== undefined && known.until > this.now()) return known.certificate;
    const certificate = this.fetchText(url).then((pem) => new X509Certificate(pem));
    // A flood of made-up addresses does not grow memory; they are all AWS's anyway.
    if (this.held.size >= maxCertificates) this.held.delete(this.held.keys().next().value as string);
    this.held.set(url, { until: this.now() + certificateMs, certificate });
    try {
      const found = await certificate;
      const now = this.now();
      if (now > Date.parse(found.validTo) || now < Date.parse(found.validFrom)) throw new Problem(403, 'the certificate of SNS is not valid now');
      return found;
    } catch (error) {
      this.held.delete(url);
      if (error instanceof Problem) throw error;
      throw new Problem(503, `the certificate of SNS could not be had: ${error instanceof Error ? error.message : String(error)}`, 20);
    }
  }
}
