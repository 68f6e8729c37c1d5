import { createHash } from 'node:crypto';
import type { Notification } from '../../domain/notification.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { SmtpChannel } from './channel.ts';
import { html, plainText, subjectOf } from './render.ts';

/** The same message has the same id however often it is tried: mail servers and programs show it once. */
const messageId = (key: string, from: string): string => `<${createHash('sha256').update(key).digest('hex').slice(0, 32)}@${from.replace(/^.*@/, '').replaceAll(/[^A-Za-z0-9.-]/g, '') || 'resurgo'}>`;

interface SmtpError extends Error { readonly code?: string; readonly responseCode?: number }

/** Text and HTML in one message; the mails of one incident are one thread. @throws channelUnreachable, channelRefused */
export async function sendMail(channel: SmtpChannel, notification: Notification): Promise<string> {
  const { host, port, tls, requireTls, verifyTls, user, password, from, to, timeoutMs } = channel;
  // Only who sends mail loads what it takes.
  const { createTransport } = await import('nodemailer');
  const transport = createTransport({
    host,
    port,
    secure: tls,
    requireTLS: requireTls,
    tls: { rejectUnauthorized: verifyTls },
    ...(user === undefined ? {} : { auth: { user, pass: password ?? '' } }),
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    dnsTimeout: timeoutMs,
    // Nothing of a message may make this host read a file or fetch a URL.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    const thread = messageId(notification.group ?? notification.dedupeKey, from);
    const sent = await transport.sendMail({
      from,
      to: [...to],
      subject: subjectOf(notification),
      text: plainText(notification),
      html: html(notification),
      messageId: messageId(notification.dedupeKey, from),
      references: thread,
      headers: { 'X-Resurgo-Event': notification.event, 'X-Resurgo-Severity': notification.severity, 'Auto-Submitted': 'auto-generated' },
    });
    const { rejected } = sent as { rejected?: readonly unknown[] };
    return `accepted by ${host}:${String(port)}${rejected === undefined || rejected.length === 0 ? '' : `, but not for ${rejected.map(String).join(', ')}`}`;
  } catch (error) {
    const { code, responseCode, message } = error as SmtpError;
    // 5xx: for good. 4xx, time-outs, refused connections: later.
    const forGood = responseCode === undefined ? code === 'EENVELOPE' : responseCode >= 500;
    throw new ResurgoError(forGood ? 'channelRefused' : 'channelUnreachable', `channel ${channel.name}: ${host}:${String(port)} did not take the mail: ${message}`);
  } finally {
    transport.close();
  }
}
