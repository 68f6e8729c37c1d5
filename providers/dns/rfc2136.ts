import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { exchange, parseAddress, type DnsAddress } from './exchange.ts';
import { canonicalName, describeSet, sameValues, type DnsProvider, type RecordSet, type RecordType } from './provider.ts';
import { sign, verify, type TsigKey } from './tsig.ts';
import { classes, encodeRr, encodeValue, header, normalValue, parseMessage, question, rcodeName, types, valueOf, type Message, type Rr } from './wire.ts';

export interface Rfc2136Options {
  /** Takes updates and is authoritative, `address` or `address:port`. */
  readonly server: string;
  readonly zone: string;
  readonly key?: TsigKey;
  /** Further authoritative servers that must show a change. */
  readonly secondaries?: readonly string[];
  /** How long a server may take to show a change. Milliseconds. */
  readonly timeoutMs: number;
}

/** A single answer is not waited for longer. */
const answerMs = 5000;
const updateFlags = 5 << 11;

/** Record sets of a zone on a server that takes dynamic updates (BIND, PowerDNS, Knot …). */
export class Rfc2136Provider implements DnsProvider {
  readonly name: string;
  private readonly options: Rfc2136Options;
  private readonly server: DnsAddress;
  private readonly zone: string;

  constructor(options: Rfc2136Options) {
    this.options = options;
    this.server = parseAddress(options.server);
    this.zone = canonicalName(options.zone);
    this.name = `rfc2136 ${options.server}`;
  }

  async read(name: string, type: RecordType, signal?: AbortSignal): Promise<RecordSet | undefined> {
    return (await this.ask(this.server, name, type, signal)).set;
  }

  async upsert(next: RecordSet, expected: RecordSet | undefined, signal?: AbortSignal): Promise<string> {
    const wanted = this.normal(next);
    if (wanted.values.length === 0) throw new ResurgoError('inputInvalid', `${next.name} would have no values; remove it instead`);
    return this.change(wanted, expected, [this.deletion(wanted), ...this.records(wanted, classes.IN, wanted.ttl)], signal);
  }

  async remove(expected: RecordSet, signal?: AbortSignal): Promise<string> {
    return this.change(undefined, expected, [this.deletion(this.normal(expected))], signal);
  }

  /** The primary has it when it has answered; the secondaries are asked by {@link verify}. */
  waitInSync(): Promise<void> {
    return Promise.resolve();
  }

  async verify(expected: RecordSet | { readonly name: string; readonly type: RecordType; readonly absent: true }, signal?: AbortSignal): Promise<string> {
    const wanted = 'absent' in expected ? undefined : this.normal(expected);
    const servers = [this.options.server, ...(this.options.secondaries ?? [])];
    const told = await Promise.all(servers.map((server) => this.verifyAt(server, expected.name, expected.type, wanted, signal)));
    return told.join('; ');
  }

  private async verifyAt(server: string, name: string, type: RecordType, wanted: RecordSet | undefined, signal?: AbortSignal): Promise<string> {
    for (const until = performance.now() + this.options.timeoutMs; ; ) {
      let seen: string;
      try {
        const { set, serial } = await this.ask(parseAddress(server), name, type, signal);
        if (sameValues(set, wanted) && set?.ttl === wanted?.ttl) return `${server} answers ${describeSet(set)}, serial ${serial ?? 'unknown'}`;
        seen = describeSet(set);
      } catch (error) {
        if (!isResurgoError(error, 'dnsUnreachable')) throw error;
        seen = error.message;
      }
      if (performance.now() > until) throw new ResurgoError('dnsUnverified', `${server} does not show ${name} as ${describeSet(wanted)} after ${this.options.timeoutMs} ms: ${seen}`);
      await sleep(100, undefined, signal === undefined ? {} : { signal });
    }
  }

  private normal(set: RecordSet): RecordSet {
    const name = canonicalName(set.name);
    if (name !== this.zone && !name.endsWith(`.${this.zone}`)) throw new ResurgoError('inputInvalid', `${set.name} is not in the zone ${this.zone}`);
    return { ...set, name, values: set.values.map((value) => normalValue(set.type, value)).sort() };
  }

  private records(set: RecordSet, kind: number, ttl: number): Rr[] {
    return set.values.map((value) => ({ name: set.name, type: types[set.type], class: kind, ttl, data: encodeValue(set.type, value) }));
  }

  private deletion(set: RecordSet): Rr {
    return { name: set.name, type: types[set.type], class: classes.ANY, ttl: 0, data: Buffer.alloc(0) };
  }

  /** The server compares and changes in one transaction (RFC 2136, prerequisites). */
  private async change(next: RecordSet | undefined, expected: RecordSet | undefined, updates: readonly Rr[], signal?: AbortSignal): Promise<string> {
    const was = expected === undefined ? undefined : this.normal(expected);
    const { name, type } = next ?? was ?? { name: '', type: 'A' as const };
    const prerequisites: Rr[] = was === undefined ? [{ name, type: types[type], class: classes.NONE, ttl: 0, data: Buffer.alloc(0) }] : this.records(was, classes.IN, 0);
    const id = randomInt(65_536);
    const message = Buffer.concat([header(id, updateFlags, [1, prerequisites.length, updates.length, 0]), question(this.zone, types.SOA), ...[...prerequisites, ...updates].map(encodeRr)]);
    const { rcode } = await this.send(this.server, message, signal);
    if (rcode === 0) return `${this.name} ${name}`;
    const answer = rcodeName(rcode);
    if (answer === 'NXRRSET' || answer === 'YXRRSET' || answer === 'NXDOMAIN' || answer === 'YXDOMAIN') {
      const now = await this.read(name, type, signal);
      // An earlier attempt whose answer was lost.
      if (sameValues(now, next) && (next === undefined || now?.ttl === next.ttl)) return `${this.name} ${name}`;
      throw new ResurgoError('dnsConflict', `${name} is ${describeSet(now)}, and not ${describeSet(was)} as expected; it was left alone`);
    }
    const hint = answer === 'NOTAUTH' || answer === 'NOTZONE' ? `Is ${this.options.server} the primary of ${this.zone}?` : answer === 'REFUSED' ? `Does the zone's update policy allow the key ${this.options.key?.name ?? '(none is configured)'} to change ${name}?` : undefined;
    const code = answer === 'SERVFAIL' ? 'dnsUnreachable' : 'dnsRefused';
    throw new ResurgoError(code, `${this.options.server} refused the update of ${name} ${type}: ${answer}`, hint === undefined ? {} : { details: { hint } });
  }

  private async ask(server: DnsAddress, name: string, type: RecordType, signal?: AbortSignal): Promise<{ set: RecordSet | undefined; serial: number | undefined }> {
    const asked = canonicalName(name);
    const query = (about: string, kind: number): Promise<Message & { bytes: Buffer }> => this.send(server, Buffer.concat([header(randomInt(65_536), 0, [1, 0, 0, 0]), question(about, kind)]), signal);
    const answer = await query(asked, types[type]);
    const known = rcodeName(answer.rcode);
    if (known !== 'NOERROR' && known !== 'NXDOMAIN') throw new ResurgoError('dnsRefused', `${server.host}:${server.port} answers ${known} when asked for ${asked}`);
    if (!answer.authoritative) throw new ResurgoError('dnsRefused', `${server.host}:${server.port} is not authoritative for ${asked}`, { details: { hint: `Name a server of the zone ${this.zone} itself, not a resolver.` } });
    const found = answer.answers.filter((rr) => rr.name === asked && rr.type === types[type]);
    const soa = await query(this.zone, types.SOA);
    const record = soa.answers.find((rr) => rr.type === types.SOA);
    const serial = record === undefined ? undefined : record.data.readUInt32BE(record.data.length - 20);
    const [first] = found;
    return { serial, set: first === undefined ? undefined : { name: asked, type, ttl: first.ttl, values: found.map((rr) => valueOf(answer.bytes, rr)).sort() } };
  }

  private async send(server: DnsAddress, message: Buffer, signal?: AbortSignal): Promise<Message & { bytes: Buffer }> {
    const { key } = this.options;
    const signed = key === undefined ? { message, mac: Buffer.alloc(0) } : sign(message, key);
    const bytes = await exchange(server, signed.message, { timeoutMs: answerMs, signal });
    const answer = parseMessage(bytes);
    if (key !== undefined) {
      // A server that refuses before it looks at keys does not sign.
      if (answer.additional.at(-1)?.type === types.TSIG || answer.rcode === 0) verify(bytes, key, signed.mac);
    }
    return { ...answer, bytes };
  }
}
