import type { ResourceRecordSet, Route53Client } from '@aws-sdk/client-route-53';
import { ResurgoError } from '../../domain/errors.ts';
import { abortable, clientOptions, isAwsError, mapAwsError } from '../aws/client-options.ts';
import { waitUntil } from '../aws/wait.ts';
import { canonicalName, describeSet, sameValues, type DnsProvider, type RecordSet, type RecordType } from './provider.ts';

export interface Route53Options {
  /** Id of the hosted zone, `Z…`. */
  readonly zone: string;
  /** Route 53 is global; its API is in us-east-1. */
  readonly region?: string | undefined;
  readonly endpoint?: string | undefined;
  /** How long Route 53 may take to reach all its servers, ms. */
  readonly timeoutMs: number;
  readonly pollMs: number;
}

type Sdk = typeof import('@aws-sdk/client-route-53');

/** Record sets of a hosted zone of Amazon Route 53. Not verified against the real service, only against its emulator. */
export class Route53Provider implements DnsProvider {
  readonly name: string;
  private readonly options: Route53Options;
  private opened: Promise<{ sdk: Sdk; client: Route53Client }> | undefined;

  constructor(options: Route53Options) {
    this.options = options;
    this.name = `route53 ${options.zone}`;
  }

  async read(name: string, type: RecordType, signal?: AbortSignal): Promise<RecordSet | undefined> {
    const wanted = canonicalName(name);
    const { ResourceRecordSets } = await this.call(`reading ${wanted}`, ({ sdk, client }) => client.send(new sdk.ListResourceRecordSetsCommand({ HostedZoneId: this.options.zone, StartRecordName: wanted, StartRecordType: type, MaxItems: 10 }), abortable(signal)));
    const found = (ResourceRecordSets ?? []).filter((set) => canonicalName(unescapeName(set.Name ?? '')) === wanted && set.Type === type);
    const [one] = found;
    if (found.length > 1 || one?.SetIdentifier !== undefined) throw new ResurgoError('dnsRefused', `${wanted} has records by weight, region or failover in ${this.name}; only a simple record set is switched`, { details: { hint: 'Change the health check or the weights instead, by exec or http.call.' } });
    return one === undefined ? undefined : setOf(one, wanted, type);
  }

  async upsert(next: RecordSet, expected: RecordSet | undefined, signal?: AbortSignal): Promise<string> {
    const now = await this.read(next.name, next.type, signal);
    if (sameValues(now, next) && (next.alias !== undefined || now?.ttl === next.ttl)) return '';
    if (!sameValues(now, expected)) throw new ResurgoError('dnsConflict', `${next.name} is ${describeSet(now)} in ${this.name}, not ${describeSet(expected)}; it was left alone`);
    return this.change('UPSERT', recordOf(next), `setting ${next.name}`, signal);
  }

  async remove(expected: RecordSet, signal?: AbortSignal): Promise<string> {
    const now = await this.read(expected.name, expected.type, signal);
    if (now === undefined) return '';
    if (!sameValues(now, expected)) throw new ResurgoError('dnsConflict', `${expected.name} is ${describeSet(now)} in ${this.name}, not ${describeSet(expected)}; it was left alone`);
    // Route 53 removes only what is given exactly, the TTL too.
    return this.change('DELETE', recordOf(now), `removing ${expected.name}`, signal);
  }

  async waitInSync(change: string, signal?: AbortSignal): Promise<void> {
    if (change === '') return;
    await waitUntil(
      async () => {
        const { ChangeInfo } = await this.call(`asking for change ${change}`, ({ sdk, client }) => client.send(new sdk.GetChangeCommand({ Id: change }), abortable(signal)));
        const state = ChangeInfo?.Status ?? 'unknown';
        return { state, ...(state === 'INSYNC' ? { done: true } : {}) };
      },
      { what: `change ${change} of ${this.name}`, deadlineMs: this.options.timeoutMs, firstMs: this.options.pollMs, mostMs: this.options.pollMs * 3, ...(signal === undefined ? {} : { signal }) },
    );
  }

  async verify(expected: RecordSet | { readonly name: string; readonly type: RecordType; readonly absent: true }, signal?: AbortSignal): Promise<string> {
    const now = await this.read(expected.name, expected.type, signal);
    const wanted = 'absent' in expected ? undefined : expected;
    if (!sameValues(now, wanted)) throw new ResurgoError('dnsUnverified', `${expected.name} is ${describeSet(now)} in ${this.name}, not ${describeSet(wanted)} yet`);
    const asked = await this.askServers(expected.name, expected.type, wanted, signal);
    return `${expected.name} is ${describeSet(now)}; ${asked}`;
  }

  /** What Route 53's own name servers answer; an alias answers with addresses that change by themselves. */
  private async askServers(name: string, type: RecordType, wanted: RecordSet | undefined, signal?: AbortSignal): Promise<string> {
    try {
      const { sdk, client } = await this.open();
      const { RecordData = [], ResponseCode, Nameserver } = await client.send(new sdk.TestDNSAnswerCommand({ HostedZoneId: this.options.zone, RecordName: name, RecordType: type }), abortable(signal));
      const answers = RecordData.map(canonicalName).sort();
      const fits = wanted === undefined ? answers.length === 0 : wanted.alias !== undefined ? answers.length > 0 : JSON.stringify(answers) === JSON.stringify(wanted.values.map(canonicalName).sort());
      if (!fits) throw new ResurgoError('dnsUnverified', `name server ${Nameserver ?? '?'} answers ${answers.length === 0 ? (ResponseCode ?? 'nothing') : answers.join(', ')} for ${name}, not ${describeSet(wanted)} yet`);
      return `name server ${Nameserver ?? '?'} says so`;
    } catch (error) {
      if (error instanceof ResurgoError) throw error;
      const mapped = mapAwsError(error, `asking the name servers for ${name}`);
      // An emulator has no name servers; a private zone is not answered for.
      if (this.options.endpoint !== undefined || isAwsError(error, 'InvalidInput')) return 'its name servers could not be asked';
      throw mapped;
    }
  }

  private async change(action: 'UPSERT' | 'DELETE', record: ResourceRecordSet, what: string, signal?: AbortSignal): Promise<string> {
    const { ChangeInfo } = await this.call(what, ({ sdk, client }) => client.send(new sdk.ChangeResourceRecordSetsCommand({ HostedZoneId: this.options.zone, ChangeBatch: { Comment: 'Resurgo', Changes: [{ Action: action, ResourceRecordSet: record }] } }), abortable(signal)));
    return ChangeInfo?.Id ?? '';
  }

  private open(): Promise<{ sdk: Sdk; client: Route53Client }> {
    this.opened ??= import('@aws-sdk/client-route-53').then((sdk) => ({ sdk, client: new sdk.Route53Client(clientOptions({ region: this.options.region ?? 'us-east-1', endpoint: this.options.endpoint })) }));
    return this.opened;
  }

  private async call<T>(what: string, work: (parts: { sdk: Sdk; client: Route53Client }) => Promise<T>): Promise<T> {
    try {
      return await work(await this.open());
    } catch (error) {
      throw mapAwsError(error, `${what} in ${this.name}`);
    }
  }
}

/** Route 53 writes `*` as `\052`. */
const unescapeName = (name: string): string => name.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
/** `/hostedzone/Z1` and `Z1` are the same. */
const zoneId = (zone: string): string => zone.slice(zone.lastIndexOf('/') + 1);

function setOf(record: ResourceRecordSet, name: string, type: RecordType): RecordSet {
  const alias = record.AliasTarget;
  return {
    name, type, ttl: record.TTL ?? 0, values: (record.ResourceRecords ?? []).map(({ Value = '' }) => (type === 'CNAME' ? canonicalName(Value) : Value)).sort(),
    ...(alias === undefined ? {} : { alias: { to: canonicalName(alias.DNSName ?? ''), zone: zoneId(alias.HostedZoneId ?? ''), evaluateTargetHealth: alias.EvaluateTargetHealth ?? false } }),
  };
}

const recordOf = (set: RecordSet): ResourceRecordSet =>
  set.alias === undefined
    ? { Name: set.name, Type: set.type, TTL: set.ttl, ResourceRecords: set.values.map((Value) => ({ Value })) }
    : { Name: set.name, Type: set.type, AliasTarget: { DNSName: set.alias.to, HostedZoneId: set.alias.zone, EvaluateTargetHealth: set.alias.evaluateTargetHealth } };
