import { ResurgoError } from '../../domain/errors.ts';
import { resolveSecret } from '../../config/secret.ts';
import { didYouMean } from '../../config/suggest.ts';
import { canonicalName, type DnsProvider } from '../../providers/dns/provider.ts';
import { Rfc2136Provider } from '../../providers/dns/rfc2136.ts';
import type { ActivityDeps } from '../deps.ts';

/** A server of section `dns`, with its key. @throws configInvalid, configUnsafe */
export function dnsServer(deps: Pick<ActivityDeps, 'loaded'>, name: string): DnsProvider {
  const servers = deps.loaded.config.dns ?? {};
  const found = Object.hasOwn(servers, name) ? servers[name] : undefined;
  if (found === undefined) {
    const names = Object.keys(servers);
    throw new ResurgoError('configInvalid', `section dns has no server ${JSON.stringify(name)}${didYouMean(name, names) || (names.length === 0 ? '; it is empty' : `; there are ${names.join(', ')}`)}`);
  }
  return new Rfc2136Provider({
    server: found.server, zone: found.zone, timeoutMs: found.timeout,
    ...(found.secondaries === undefined ? {} : { secondaries: found.secondaries }),
    ...(found.key === undefined ? {} : { key: { name: found.key.name, algorithm: found.key.algorithm, secret: resolveSecret(found.key.secret, `dns.${name}.key.secret`).trim() } }),
  });
}

/** The server whose zone holds a name: the longest zone wins. @throws configInvalid */
export function dnsServerFor(deps: Pick<ActivityDeps, 'loaded'>, record: string): DnsProvider {
  const name = canonicalName(record);
  const fitting = Object.entries(deps.loaded.config.dns ?? {})
    .filter(([, { zone }]) => name === canonicalName(zone) || name.endsWith(`.${canonicalName(zone)}`))
    .sort(([, a], [, b]) => b.zone.length - a.zone.length);
  const [best] = fitting;
  if (best === undefined) throw new ResurgoError('configInvalid', `no server of section dns has a zone that holds ${record}`);
  return dnsServer(deps, best[0]);
}
