/** What a DNS server must be able to do so that a recovery can move clients; RFC 2136 servers here, Route 53 beside it. */

export type RecordType = 'A' | 'AAAA' | 'CNAME';

export interface RecordSet {
  /** Lower case, without the final dot. */
  readonly name: string;
  readonly type: RecordType;
  /** Seconds. */
  readonly ttl: number;
  /** Sorted. Empty for an alias. */
  readonly values: readonly string[];
  /** Route 53 only: answers as another name does. */
  readonly alias?: { readonly to: string; readonly zone: string; readonly evaluateTargetHealth: boolean };
}

export interface DnsProvider {
  /** For messages, for example `rfc2136 10.0.0.53:53`. */
  readonly name: string;
  /** As the authoritative server has it now; undefined when there is none. @throws dnsUnreachable, dnsRefused */
  read(name: string, type: RecordType, signal?: AbortSignal): Promise<RecordSet | undefined>;
  /**
   * Replaces the record set, in one transaction, only where it is still `expected` (undefined: there is none). There already is success.
   * @returns what {@link DnsProvider.waitInSync} waits for
   * @throws dnsConflict when something else is there now, dnsUnreachable, dnsRefused
   */
  upsert(next: RecordSet, expected: RecordSet | undefined, signal?: AbortSignal): Promise<string>;
  /** Removes it, only where it is still as given. Gone already is success. @throws like {@link DnsProvider.upsert} */
  remove(expected: RecordSet, signal?: AbortSignal): Promise<string>;
  /** Until all of the provider's servers have taken the change. @throws dnsUnverified */
  waitInSync(change: string, signal?: AbortSignal): Promise<void>;
  /** Asks the authoritative servers themselves until they answer with it. @returns what they said, in words. @throws dnsUnverified */
  verify(expected: RecordSet | { readonly name: string; readonly type: RecordType; readonly absent: true }, signal?: AbortSignal): Promise<string>;
}

export const canonicalName = (name: string): string => name.trim().toLowerCase().replace(/\.$/, '');

/** Whether two sets are the same to a resolver; the TTL aside. */
export const sameValues = (a: RecordSet | undefined, b: RecordSet | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.type === b.type && a.name === b.name && JSON.stringify([...a.values].sort()) === JSON.stringify([...b.values].sort()) && JSON.stringify(a.alias) === JSON.stringify(b.alias);

export const describeSet = (set: RecordSet | undefined): string =>
  set === undefined ? 'no record' : `${set.type} ${set.alias === undefined ? set.values.join(', ') : `alias of ${set.alias.to}`} (TTL ${set.ttl} s)`;
