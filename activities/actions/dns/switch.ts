import { z } from 'zod';
import { defineAction } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { canonicalName, describeSet, sameValues, type DnsProvider, type RecordSet } from '../../../providers/dns/provider.ts';
import { Route53Provider } from '../../../providers/dns/route53.ts';
import { dnsServer, dnsServerFor } from '../../dns/providers.ts';
import { durationField, inputOf, textField, urlField } from '../input.ts';
import type { ActivityDeps } from '../../deps.ts';

const schema = z
  .strictObject({
    provider: z.enum(['rfc2136', 'route53']).default('rfc2136').meta({ description: 'A server of section `dns`, or Amazon Route 53.' }),
    server: textField('rfc2136: name of a server under `dns`; default the one whose zone holds the name.').optional(),
    zone: textField('route53: id of the hosted zone, `Z…`.').optional(),
    name: textField('Record that is switched.').pipe(z.string().max(253)),
    type: z.enum(['A', 'AAAA', 'CNAME']).default('A'),
    values: z.array(textField('Address or name.')).min(1).max(50).optional().meta({ description: 'What it is to answer.' }),
    alias: z
      .strictObject({ to: textField('Name.'), zone: textField('Id of the hosted zone of that name.'), evaluateTargetHealth: z.boolean().default(true) })
      .optional()
      .meta({ kind: 'mapping', description: 'route53, in place of values: answer as another name does, `{ to, zone, evaluateTargetHealth }`.' }),
    ttl: z.number().int().min(1).max(604_800).default(60).meta({ description: 'Seconds.' }),
    region: textField('route53: default us-east-1, where its API is.').optional(),
    endpoint: urlField('route53: an emulator.').optional(),
    within: durationField('How long the servers may take to show it.').default(300_000),
    poll: durationField('route53: between two questions.').default(2000),
  })
  .superRefine((value, ctx) => {
    const say = (path: string, message: string): void => { ctx.addIssue({ code: 'custom', path: [path], message }); };
    if ((value.values === undefined) === (value.alias === undefined)) say('values', 'either values or alias, one of them');
    if (value.provider === 'route53' && value.zone === undefined) say('zone', 'is missing: the id of the hosted zone');
    if (value.provider === 'rfc2136' && value.alias !== undefined) say('alias', 'is for route53 only');
    if (value.alias !== undefined && value.type === 'CNAME') say('type', 'an alias is an A or AAAA record');
  });

type SwitchInput = z.output<typeof schema>;
interface Captured {
  /** Null: there was no record. */
  readonly before: RecordSet | null;
}

const setOf = ({ name, type, ttl, values = [], alias }: SwitchInput): RecordSet =>
  alias === undefined ? { name: canonicalName(name), type, ttl, values: values.map((value) => (type === 'CNAME' ? canonicalName(value) : value)).sort() } : { name: canonicalName(name), type, ttl: 0, values: [], alias: { ...alias, to: canonicalName(alias.to) } };

/** `dns.switch`: replaces a record set, proves it at the authoritative servers, brings the previous one back on rollback if it is still ours. */
export const dnsSwitch = (deps: ActivityDeps) => {
  const providerOf = (wanted: SwitchInput): DnsProvider =>
    wanted.provider === 'route53'
      ? new Route53Provider({ zone: wanted.zone ?? '', region: wanted.region, endpoint: wanted.endpoint, timeoutMs: wanted.within, pollMs: wanted.poll })
      : wanted.server === undefined ? dnsServerFor(deps, wanted.name) : dnsServer(deps, wanted.server);
  return defineAction<SwitchInput, Captured, { readonly name: string; readonly was: string; readonly is: string }>({
    name: 'dns.switch',
    version: 1,
    description: 'Points a DNS record somewhere else and verifies it at the authoritative servers',
    effect: 'converge',
    ...inputOf<SwitchInput>(schema),
    outputs: ['name', 'was', 'is'],
    subject: ({ name }) => name,
    undo: 'the record set as it was comes back, where it is still what this step made of it',
    check: async ({ input: wanted, signal }) => {
      const provider = providerOf(wanted);
      const now = await provider.read(wanted.name, wanted.type, signal);
      return [`${canonicalName(wanted.name)} is ${describeSet(now)} at ${provider.name}; it would become ${describeSet(setOf(wanted))}`, ...(now !== undefined && now.ttl > 300 ? [`its TTL is ${String(now.ttl)} s: resolvers may keep the old answer for that long`] : [])];
    },
    capture: async ({ input: wanted, signal }) => ({ before: (await providerOf(wanted).read(wanted.name, wanted.type, signal)) ?? null }),
    apply: async ({ input: wanted, signal, report }, { before }) => {
      const provider = providerOf(wanted);
      const next = setOf(wanted);
      report({ phase: `switch ${next.name}` });
      await provider.waitInSync(await provider.upsert(next, before ?? undefined, signal), signal);
      return { summary: `${next.name}: ${describeSet(before ?? undefined)} → ${describeSet(next)}`, output: { name: next.name, was: describeSet(before ?? undefined), is: describeSet(next) } };
    },
    probe: async ({ input: wanted, signal }, { before }) => {
      const now = await providerOf(wanted).read(wanted.name, wanted.type, signal);
      if (sameValues(now, setOf(wanted))) return 'applied';
      return sameValues(now, before ?? undefined) ? 'notApplied' : 'unknown';
    },
    verify: ({ input: wanted, signal }) => providerOf(wanted).verify(setOf(wanted), signal),
    compensate: async ({ input: wanted, signal }, { before }) => {
      const provider = providerOf(wanted);
      const ours = setOf(wanted);
      const now = await provider.read(wanted.name, wanted.type, signal);
      if (sameValues(now, before ?? undefined)) return `${ours.name} is as it was: ${describeSet(before ?? undefined)}`;
      if (!sameValues(now, ours)) throw new ResurgoError('dnsConflict', `${ours.name} is ${describeSet(now)}: neither what it was (${describeSet(before ?? undefined)}) nor what this run made of it (${describeSet(ours)}); it was left alone`);
      if (before === null) {
        await provider.remove(ours, signal);
        return provider.verify({ name: ours.name, type: ours.type, absent: true }, signal);
      }
      await provider.waitInSync(await provider.upsert(before, ours, signal), signal);
      return provider.verify(before, signal);
    },
  });
};
