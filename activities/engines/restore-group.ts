import { isAbsolute } from 'node:path';
import type { GroupMember, Manifest } from '../../domain/backup.ts';
import type { RestorePlan, RestoreVerification } from '../../domain/operations.ts';
import type { BackupReader } from '../../domain/ports.ts';
import type { BuiltRestore } from '../../workflows/restore-flow.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { isWithin } from '../../providers/files/listing.ts';
import type { ActivityDeps } from '../deps.ts';
import { targetSettings, type TargetSettings } from '../target-settings.ts';
import { factsOfGroup, memberManifest, memberOf, memberReader } from './group-view.ts';

import type { EngineLookup } from './engine.ts';
import type { DestinationFacts, RestoreEngine } from './restore-engine.ts';

/** What was planned for one member. */
interface MemberPlan extends Pick<DestinationFacts, 'destination' | 'stopsServices' | 'replaces' | 'engineState'> {
  readonly name: string;
  readonly engine: GroupMember['engine'];
  /** Of this member's part of the restore. */
  readonly id: string;
  /** Positions in the plan's chain, the last for the backup itself. */
  readonly chain: readonly number[];
}

interface GroupState {
  readonly members: readonly MemberPlan[];
}

const stateOf = (plan: RestorePlan): GroupState => plan.engineState as GroupState;

/** Restores any members of a group, each by its own engine; a step is done when all have done it, and undone for all. */
export function groupRestoreEngine(deps: ActivityDeps, settings: TargetSettings, engineDefinition: EngineLookup): RestoreEngine {
  const engineOf = (name: string, engine: GroupMember['engine']): RestoreEngine => engineDefinition(engine).restore(deps, targetSettings(deps, name));
  const planOf = (plan: RestorePlan, member: MemberPlan): RestorePlan => ({
    ...plan, id: member.id, target: member.name, engine: member.engine, destination: member.destination, stopsServices: member.stopsServices, replaces: member.replaces,
    engineState: member.engineState, only: [], chain: member.chain.map((at) => plan.chain[at] as RestorePlan['chain'][number]), configHash: targetSettings(deps, member.name).hash,
  });
  const each = async <T>(plan: RestorePlan, work: (engine: RestoreEngine, sub: RestorePlan, member: MemberPlan) => Promise<T>): Promise<T[]> => {
    const results: T[] = [];
    for (const member of stateOf(plan).members) results.push(await work(engineOf(member.name, member.engine), planOf(plan, member), member));
    return results;
  };
  const told = async (plan: RestorePlan, work: (engine: RestoreEngine, sub: RestorePlan) => Promise<string>): Promise<string> =>
    (await each(plan, async (engine, sub, member) => `${member.name}: ${await work(engine, sub)}`)).join('; ');
  /** Undoing goes on when one cannot be undone, and tells all that could not. */
  const undone = async (plan: RestorePlan, work: (engine: RestoreEngine, sub: RestorePlan) => Promise<string>): Promise<string> => {
    const problems: unknown[] = [];
    const lines: string[] = [];
    for (const member of [...stateOf(plan).members].reverse()) {
      try {
        lines.push(`${member.name}: ${await work(engineOf(member.name, member.engine), planOf(plan, member))}`);
      } catch (error) {
        problems.push(error);
      }
    }
    if (problems.length > 0) throw problems[0] as Error;
    return lines.join('; ');
  };
  const readersOf = (chain: readonly BackupReader[], member: MemberPlan): BackupReader[] => member.chain.map((at) => memberReader(chain[at] as BackupReader, member.name));

  return {
    async inspect(input, chain, open) {
      const reader = await open();
      const facts = factsOfGroup(reader.index);
      const names = (input.only?.length ?? 0) > 0 ? [...new Set(input.only)] : facts.members.map(({ name }) => name);
      const unknown = names.filter((name) => !facts.members.some((member) => member.name === name));
      if (unknown.length > 0) throw new ResurgoError('inputInvalid', `${unknown.join(', ')} is no member of backup ${reader.index.backup}; it has ${facts.members.map(({ name }) => name).join(', ')}`);
      const failed = facts.members.filter((member) => names.includes(member.name) && member.facts === undefined);
      if (failed.length > 0) {
        throw new ResurgoError('unsupported', failed.map(({ name, error }) => `${name} failed when backup ${reader.index.backup} was taken (${error?.message ?? 'unknown'})`).join('; '), {
          details: { hint: `Restore the others (--only ${facts.members.filter((member) => member.facts !== undefined).map(({ name }) => name).join(' ')}), or take another backup (--backup).` },
        });
      }
      const mode = input.mode ?? 'beside';
      const to = destinationsOf(input.to, names, mode, facts.members.map(({ name }) => name));
      const members: MemberPlan[] = [];
      const warnings: string[] = [];
      const sums = { requiredBytes: 0, freeBytes: null as number | null };
      for (const name of names) {
        const member = memberOf(reader.index, name);
        const positions = [...member.chain, chain.length - 1];
        const manifests: Manifest[] = positions.map((at, i) => memberManifest(chain[at] as Manifest, member, member.chainBytes[i] ?? member.bytes, i === 0));
        const id = `${input.id}${String(facts.members.indexOf(member))}`;
        const { only: _, to: __, ...rest } = input;
        const destination = to.get(name);
        const planned = await engineOf(name, member.engine).inspect({ ...rest, id, target: name, mode, ...(destination === undefined ? {} : { to: destination }) }, manifests, () => Promise.resolve(memberReader(reader, name)));
        warnings.push(...planned.warnings.map((text) => `${name}: ${text}`));
        if (planned.freeBytes !== null && planned.freeBytes < planned.requiredBytes) throw new ResurgoError('destinationSpace', `restoring ${name} needs about ${mebibytes(planned.requiredBytes)} at ${planned.destination}; ${mebibytes(planned.freeBytes)} are free`);
        sums.requiredBytes += planned.requiredBytes;
        if (planned.freeBytes !== null) sums.freeBytes = Math.min(sums.freeBytes ?? Infinity, planned.freeBytes);
        members.push({ name, engine: member.engine, id, chain: positions, destination: planned.destination, stopsServices: planned.stopsServices, replaces: planned.replaces, engineState: planned.engineState });
      }
      assertApart(members);
      if (facts.skewMs > 1000 && names.length > 1) warnings.push(`the members were taken up to ${(facts.skewMs / 1000).toFixed(1)} s apart`);
      return {
        destination: members.map(({ name, destination }) => `${name}=${destination}`).join(', '),
        stopsServices: members.some(({ stopsServices }) => stopsServices) || (mode === 'in-place' && settings.service?.stop !== undefined),
        replaces: members.some(({ replaces }) => replaces),
        ...sums,
        warnings,
        engineState: { members } satisfies GroupState,
      };
    },

    async build(plan, chain, pulse) {
      const built = await each(plan, (engine, sub, member) => engine.build(sub, readersOf(chain, member), { ...pulse, report: (progress) => { pulse.report({ ...progress, phase: `${member.name}: ${progress.phase}` }); } }));
      const names = stateOf(plan).members.map(({ name }) => name);
      const records = built.flatMap(({ records }) => (records === null ? [] : [records]));
      const all = (pick: (one: BuiltRestore) => readonly string[]): string[] => built.flatMap((one, i) => pick(one).map((text) => `${names[i] ?? ''}: ${text}`));
      return {
        bytes: built.reduce((sum, { bytes }) => sum + bytes, 0),
        files: built.reduce((sum, { files }) => sum + files, 0),
        records: records.length === 0 ? null : records.reduce((sum, count) => sum + count, 0),
        checks: all(({ checks }) => checks),
        warnings: all(({ warnings }) => warnings),
      };
    },

    async verify(plan, chain, pulse) {
      const found = await each(plan, async (engine, sub, member) => ({ name: member.name, ...(await engine.verify(sub, readersOf(chain, member), pulse)) }));
      const sum = (key: 'tables' | 'rows' | 'files'): Partial<RestoreVerification> => {
        const counts = found.flatMap((one) => (one[key] === undefined ? [] : [one[key]]));
        return counts.length === 0 ? {} : { [key]: counts.reduce((total, count) => total + count, 0) };
      };
      const digests = Object.fromEntries(found.flatMap(({ name, digests: of = {} }) => Object.entries(of).map(([key, digest]) => [`${name}.${key}`, digest])));
      return { ...sum('tables'), ...sum('rows'), ...sum('files'), checks: found.flatMap(({ name, checks }) => checks.map((text) => `${name}: ${text}`)), ...(Object.keys(digests).length === 0 ? {} : { digests }) };
    },

    async swapIn(plan) {
      const kept = (await each(plan, async (engine, sub) => (await engine.swapIn(sub)).kept)).flatMap((one) => (one === undefined ? [] : [one]));
      return kept.length === 0 ? {} : { kept: kept.join(', ') };
    },

    swapBack: (plan) => undone(plan, (engine, sub) => engine.swapBack(sub)),
    settle: (plan) => told(plan, (engine, sub) => engine.settle(sub)),
    discard: (plan) => undone(plan, (engine, sub) => engine.discard(sub)),
    health: (plan, pulse) => told(plan, (engine, sub) => engine.health(sub, pulse)),
    keeps: async (plan) => (await each(plan, (engine, sub) => engine.keeps(sub))).some(Boolean),
    // One of which nothing is kept any more was dealt with by an attempt before.
    confirm: (plan) => told(plan, async (engine, sub) => ((await engine.keeps(sub)) ? engine.confirm(sub) : 'nothing is kept')),
    rollback: (plan) => undone(plan, async (engine, sub) => ((await engine.keeps(sub)) ? engine.rollback(sub) : 'nothing is kept')),
    serviceTargets: (plan) => [settings.name, ...stateOf(plan).members.filter(({ stopsServices }) => stopsServices).map(({ name }) => name)],
  };
}

/** No member is restored into another one's place. @throws inputInvalid, unsupported */
function assertApart(members: readonly MemberPlan[]): void {
  const places = members.flatMap(({ name, destination, engineState }) => {
    const swaps = (engineState as { readonly swaps?: readonly { readonly path: string }[] } | null)?.swaps ?? [];
    return swaps.length > 0 ? swaps.map(({ path }) => ({ name, path, swapped: true })) : isAbsolute(destination) ? [{ name, path: destination, swapped: false }] : [];
  });
  for (const one of places) {
    const other = places.find(({ name, path }) => name !== one.name && isWithin(path.slice(1), one.path.slice(1)));
    if (other === undefined) continue;
    throw new ResurgoError(one.swapped ? 'unsupported' : 'inputInvalid', `${other.path} of ${other.name} ${other.path === one.path ? 'is also where' : 'lies in what'} ${one.name} is restored to: one would take the place of the other`, { details: { hint: one.swapped ? 'Restore them one after the other (--only), the outer one first, or beside.' : 'Give each member a destination of its own.' } });
  }
}

/** `--to`: one destination for one member, else `member=destination` for each. @throws inputInvalid */
function destinationsOf(to: string | undefined, names: readonly string[], mode: string, members: readonly string[]): Map<string, string> {
  if (mode !== 'beside' || to === undefined) return new Map();
  const pairs = to.split(',').map((pair) => /^\s*([^=]+)=(.+)$/s.exec(pair));
  const [only] = names;
  if (names.length === 1 && only !== undefined && pairs.some((pair) => pair === null || !members.includes(pair[1] ?? ''))) return new Map([[only, to]]);
  const found = new Map(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1] as string, pair[2] as string] as const])));
  const missing = names.filter((name) => !found.has(name));
  const strange = [...found.keys()].filter((name) => !names.includes(name));
  if (missing.length > 0 || strange.length > 0 || pairs.includes(null)) {
    throw new ResurgoError('inputInvalid', `--to ${to} does not name a destination for each of ${names.join(', ')}${strange.length > 0 ? `, and names ${strange.join(', ')}` : ''}`, { details: { hint: `For example --to ${names.map((name) => `${name}=DEST`).join(',')}` } });
  }
  return found;
}

const mebibytes = (bytes: number): string => `${String(Math.ceil(bytes / 1048576))} MiB`;
