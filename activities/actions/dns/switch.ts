import { z } from 'zod';
import { defineAction } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { canonicalName, describeSet, sameValues, type DnsProvider, type RecordSet } from '../../../providers/dns/provider.ts';
import { dnsServer, dnsServerFor } from '../../dns/providers.ts';
import { parseInput } from '../../announce.activities.ts';
import type { ActivityDeps } from '../../deps.ts';

const input = z.strictObject({
  provider: z.literal('rfc2136').default('rfc2136'),
  /** Name of a server under `dns`; default the one whose zone holds the name. */
  server: z.string().optional(),
  name: z.string().min(1).max(253),
  type: z.enum(['A', 'AAAA', 'CNAME']).default('A'),
  values: z.array(z.string().min(1)).min(1).max(50),
  /** Seconds. */
  ttl: z.number().int().min(1).max(604_800).default(60),
});

type SwitchInput = z.output<typeof input>;
interface Captured {
  /** Null: there was no record. */
  readonly before: RecordSet | null;
}

const setOf = ({ name, type, ttl, values }: SwitchInput): RecordSet => ({ name: canonicalName(name), type, ttl, values: [...values].sort() });

/** `dns.switch`: replaces a record set, proves it at the authoritative servers, brings the previous one back on rollback if it is still ours. */
export const dnsSwitch = (deps: ActivityDeps) => {
  const providerOf = (wanted: SwitchInput): DnsProvider => (wanted.server === undefined ? dnsServerFor(deps, wanted.name) : dnsServer(deps, wanted.server));
  return defineAction<SwitchInput, Captured, { readonly name: string; readonly was: string; readonly is: string }>({
    name: 'dns.switch',
    version: 1,
    description: 'Points a DNS record somewhere else and verifies it at the authoritative servers',
    effect: 'converge',
    parse: (given) => parseInput<SwitchInput>(input, given, 'dns.switch'),
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
