/** The channels of a configuration: their names and wishes, and, where a message is sent, their secrets. */
import type { ChannelRoute } from '../domain/notification.ts';
import { ResurgoError } from '../domain/errors.ts';
import type { ChannelConfig } from './schema-notify.ts';
import type { Config } from './schema.ts';
import { resolveSecret } from './secret.ts';
import { didYouMean } from './suggest.ts';

export type ChannelKind = 'slack' | 'smtp' | 'pagerduty' | 'webhook';

export const kindOf = (channel: ChannelConfig): ChannelKind =>
  channel.slack !== undefined ? 'slack' : channel.smtp !== undefined ? 'smtp' : channel.pagerduty !== undefined ? 'pagerduty' : 'webhook';

export const channelName = (channel: ChannelConfig): string => channel.name ?? kindOf(channel);

export const channelRoutes = (config: Pick<Config, 'notify'>): ChannelRoute[] =>
  (config.notify ?? []).map((channel) => ({
    name: channelName(channel),
    ...(channel.minSeverity === undefined ? {} : { minSeverity: channel.minSeverity }),
    ...(channel.events === undefined ? {} : { events: channel.events }),
  }));

/** A channel with its secrets in the clear; structurally the provider's `Channel`. */
export type ResolvedChannel =
  | { readonly kind: 'slack'; readonly name: string; readonly url: string; readonly timeoutMs: number }
  | { readonly kind: 'smtp'; readonly name: string; readonly host: string; readonly port: number; readonly tls: boolean; readonly requireTls: boolean; readonly verifyTls: boolean; readonly user?: string; readonly password?: string; readonly from: string; readonly to: readonly string[]; readonly timeoutMs: number }
  | { readonly kind: 'pagerduty'; readonly name: string; readonly routingKey: string; readonly endpoint: string; readonly timeoutMs: number }
  | { readonly kind: 'webhook'; readonly name: string; readonly url: string; readonly token?: string; readonly hmac?: string; readonly timeoutMs: number };

/** @throws configInvalid for an unknown name or a secret that is missing, configUnsafe */
export function resolveChannel(config: Pick<Config, 'notify'>, wanted: string): ResolvedChannel {
  const channel = (config.notify ?? []).find((candidate) => channelName(candidate) === wanted);
  if (channel === undefined) {
    const names = (config.notify ?? []).map(channelName);
    throw new ResurgoError('configInvalid', `The configuration has no notify channel ${JSON.stringify(wanted)}${didYouMean(wanted, names) || (names.length === 0 ? '; it has none at all' : `; there are ${names.join(', ')}`)}.`);
  }
  const at = `notify.${wanted}`;
  const common = { name: wanted, timeoutMs: channel.timeout };
  if (channel.slack !== undefined) return { kind: 'slack', ...common, url: resolveSecret(channel.slack, `${at}.slack`) };
  if (channel.pagerduty !== undefined) return { kind: 'pagerduty', ...common, routingKey: resolveSecret(channel.pagerduty.routingKey, `${at}.pagerduty.routingKey`), endpoint: channel.pagerduty.endpoint };
  if (channel.smtp !== undefined) {
    const { password, user, ...rest } = channel.smtp;
    return { kind: 'smtp', ...common, ...rest, ...(user === undefined ? {} : { user }), ...(password === undefined ? {} : { password: resolveSecret(password, `${at}.smtp.password`) }) };
  }
  const { webhook } = channel;
  if (webhook === undefined) throw new ResurgoError('bug', `channel ${wanted} is of no kind`);
  return {
    kind: 'webhook',
    ...common,
    url: resolveSecret(webhook.url, `${at}.webhook.url`),
    ...(webhook.token === undefined ? {} : { token: resolveSecret(webhook.token, `${at}.webhook.token`) }),
    ...(webhook.hmac === undefined ? {} : { hmac: resolveSecret(webhook.hmac, `${at}.webhook.hmac`) }),
  };
}
