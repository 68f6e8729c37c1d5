import type { BackupCounts, EngineFacts, GroupFacts, GroupMember, StreamRecord } from '../../domain/backup.ts';
import type { PreparedBackup } from '../../domain/operations.ts';
import type { BackupWriter, StreamSink } from '../../domain/ports.ts';
import { isResurgoError, ResurgoError, type ErrorCode } from '../../domain/errors.ts';
import { engineTraits } from '../../domain/engines.ts';
import type { ContentChecker } from '../../providers/vault/verify.ts';
import { settingsOf, targetSettings, type TargetSettings } from '../target-settings.ts';
import type { ActivityDeps } from '../deps.ts';
import type { DumpContext, EngineDefinition, EngineDump, EngineLookup } from './engine.ts';
import { memberIndex, memberStream } from './group-view.ts';
import { openParent } from './parent-index.ts';
import { groupRestoreEngine } from './restore-group.ts';

/** Several targets under one id (docs/adr/0012-groups.md): each member by its own engine, its streams under a prefix. */
export const groupEngine = (engineDefinition: EngineLookup): EngineDefinition => ({
  name: 'group',
  async prepare({ deps, settings, kind }) {
    const warnings: string[] = [];
    let problem: unknown;
    let ready = 0;
    for (const member of membersOfGroup(deps, settings)) {
      try {
        const source = await engineDefinition(member.engine).prepare({ deps, settings: member, kind: engineTraits[member.engine].kinds.includes(kind) ? kind : 'full' });
        warnings.push(...source.warnings.map((text) => `${member.name}: ${text}`));
        ready++;
      } catch (error) {
        if (!isResurgoError(error) || endsTheRun.includes(error.code)) throw error;
        problem ??= error;
      }
    }
    // One that is away now may be back when its turn comes; the dump tells.
    if (ready === 0) throw problem as Error;
    return { systemId: 'group', warnings };
  },
  dump: (context) => dumpGroup(context, engineDefinition),
  restore: (deps, settings) => groupRestoreEngine(deps, settings, engineDefinition),
  contentCheck: async ({ manifest, index }) => {
    const checkers = new Map<string, ContentChecker>();
    for (const member of (index.engine as GroupFacts).members) {
      if (member.facts === undefined) continue;
      const check = engineDefinition(member.engine).contentCheck;
      if (check !== undefined) checkers.set(member.prefix, await check({ manifest, index: memberIndex(index, member) }));
    }
    // Checkers know a stream again by its identity.
    const seen = new Map<StreamRecord, StreamRecord>();
    const checkerOf = (stream: StreamRecord): [ContentChecker, StreamRecord] | undefined => {
      const [prefix = ''] = stream.name.split('.');
      const checker = checkers.get(prefix);
      if (checker === undefined) return undefined;
      const own = seen.get(stream) ?? memberStream(stream, prefix);
      seen.set(stream, own);
      return [checker, own];
    };
    return {
      write: (stream, chunk) => {
        const found = checkerOf(stream);
        return found?.[0].write(found[1], chunk);
      },
      endStream: (stream) => {
        const found = checkerOf(stream);
        return found?.[0].endStream?.(found[1]);
      },
      end: async () => {
        for (const checker of checkers.values()) await checker.end?.();
      },
    };
  },
});

export const membersOfGroup = (deps: ActivityDeps, settings: TargetSettings): TargetSettings[] =>
  settingsOf(settings, 'group').config.members.map((name) => targetSettings(deps, name));

/** What is no failure of a member but of the run. */
const endsTheRun: readonly ErrorCode[] = ['cancelled', 'fenced', 'bug', 'configMismatch', 'repositoryUnreachable', 'repositoryFull', 'repositoryDenied', 'repositoryThrottled', 'repositoryLost'];

async function dumpGroup(context: DumpContext, engineDefinition: EngineLookup): Promise<EngineDump> {
  const { deps, plan, settings, signal } = context;
  const before = plan.parent === null ? undefined : ((await openParent(context, plan.parent)).engine as GroupFacts);
  const members: GroupMember[] = [];
  const checks: ((streams: readonly StreamRecord[]) => void)[] = [];
  const warnings: string[] = [];
  let problem: unknown;
  const totals: Record<'files' | 'tables' | 'rows' | 'databases' | 'configFiles' | 'problems', number> = { files: 0, tables: 0, rows: 0, databases: 0, configFiles: 0, problems: 0 };
  for (const [i, member] of membersOfGroup(deps, settings).entries()) {
    const prefix = `m${String(i)}`;
    const writer = new MemberWriter(context.writer, prefix);
    const startedAt = new Date().toISOString();
    const base = { name: member.name, engine: member.engine, prefix, startedAt };
    try {
      const then = before?.members.find(({ name, engine }) => name === member.name && engine === member.engine);
      const { dump, chain, chainBytes, systemId } = await dumpMember({ ...context, writer }, engineDefinition(member.engine), member, then);
      members.push({
        ...base, systemId, chain, chainBytes,
        endedAt: new Date().toISOString(),
        bytes: writer.sourceBytes,
        facts: dump.facts,
        serverVersion: dump.serverVersion,
        ...(dump.engineManifest === undefined ? {} : { engineManifest: dump.engineManifest }),
        ...(dump.wal === undefined ? {} : { wal: dump.wal }),
      });
      for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += dump.counts?.[key] ?? 0;
      warnings.push(...dump.warnings.map((text) => `${member.name}: ${text}`));
      checks.push((streams) => { dump.check(streams.filter((stream) => stream.name.startsWith(`${prefix}.`)).map((stream) => memberStream(stream, prefix))); });
    } catch (error) {
      signal.throwIfAborted();
      if (!isResurgoError(error) || endsTheRun.includes(error.code)) throw error;
      await writer.abandon();
      problem ??= error;
      members.push({ ...base, systemId: '', chain: [], chainBytes: [], endedAt: new Date().toISOString(), bytes: 0, serverVersion: '', error: { code: error.code, message: error.message } });
      totals.problems++;
      warnings.push(`member ${member.name} FAILED and is not in this backup: ${error.message}`);
    }
  }
  const whole = members.filter((member) => member.facts !== undefined);
  if (whole.length === 0) throw problem as Error;
  const starts = whole.map((member) => Date.parse(member.startedAt));
  const facts: GroupFacts = { engine: 'group', members, skewMs: Math.max(...starts) - Math.min(...starts) };
  return {
    facts,
    counts: { ...present(totals), members: whole.length },
    serverVersion: whole.map(({ name, serverVersion }) => `${name}: ${serverVersion}`).join(', '),
    members: whole.map(({ name, engine }) => ({ name, engine })),
    checks: [`members taken within ${(facts.skewMs / 1000).toFixed(1)} s: ${whole.map(({ name }) => name).join(', ')}`],
    warnings,
    check: (streams) => { for (const check of checks) check(streams); },
  };
}

/** Zeros say nothing, except of files. */
const present = ({ files, ...others }: Record<string, number>): Omit<BackupCounts, 'parts' | 'files'> & { files?: number } =>
  ({ ...(files === undefined || files === 0 ? {} : { files }), ...Object.fromEntries(Object.entries(others).filter(([, count]) => count > 0)) });

interface MemberDump {
  readonly dump: EngineDump;
  readonly systemId: string;
  /** Positions in the group's chain of the backups this member's part builds on. */
  readonly chain: readonly number[];
  readonly chainBytes: readonly number[];
}

/** A member builds on what the group's parent has of it; where that has nothing, or of another source, it is taken whole. */
async function dumpMember(context: DumpContext, engine: EngineDefinition, member: TargetSettings, then: GroupMember | undefined): Promise<MemberDump> {
  const { deps, plan } = context;
  const position = plan.chain.length - 1;
  const usable = plan.parent !== null && then?.facts !== undefined && then.engineManifest !== undefined && engineTraits[member.engine].kinds.includes(plan.kind);
  const source = await engine.prepare({ deps, settings: member, kind: usable ? plan.kind : 'full' });
  const builds = usable && source.systemId === then.systemId ? then : undefined;
  const chain = builds === undefined ? [] : [...builds.chain, position];
  const memberPlan: PreparedBackup = {
    ...plan,
    target: member.name,
    systemId: source.systemId,
    engine: member.engine,
    kind: builds === undefined ? 'full' : plan.kind,
    parent: builds === undefined ? null : plan.parent,
    chain: chain.map((at) => plan.chain[at] ?? ''),
    configHash: member.hash,
  };
  const parent = builds === undefined ? undefined : { engine: builds.facts as EngineFacts, engineManifest: builds.engineManifest as string };
  const dump = await engine.dump({ ...context, settings: member, plan: memberPlan, ...(parent === undefined ? {} : { parent }) });
  return { dump, systemId: source.systemId, chain, chainBytes: builds === undefined ? [] : [...builds.chainBytes, builds.bytes] };
}

/** The group's writer for one member: names under its prefix, its own count of bytes. */
class MemberWriter implements BackupWriter {
  readonly #inner: BackupWriter;
  readonly #prefix: string;
  readonly #sourceBefore: number;
  readonly #storedBefore: number;
  #open: StreamSink | undefined;

  constructor(inner: BackupWriter, prefix: string) {
    this.#inner = inner;
    this.#prefix = prefix;
    this.#sourceBefore = inner.sourceBytes;
    this.#storedBefore = inner.storedBytes;
  }

  get sourceBytes(): number {
    return this.#inner.sourceBytes - this.#sourceBefore;
  }

  get storedBytes(): number {
    return this.#inner.storedBytes - this.#storedBefore;
  }

  openStream(name: string, kind: 'tar' | 'blob'): StreamSink {
    const sink = this.#inner.openStream(`${this.#prefix}.${name}`, kind);
    this.#open = sink;
    return {
      write: (chunk) => sink.write(chunk),
      end: async () => {
        await sink.end();
        this.#open = undefined;
      },
    };
  }

  /** After a failure: the stream that was being written stays in the backup as bytes nobody refers to. */
  async abandon(): Promise<void> {
    if (this.#open === undefined) return;
    if (this.#open.abandon === undefined) throw new ResurgoError('bug', 'this writer cannot abandon a stream');
    await this.#open.abandon();
    this.#open = undefined;
  }
}
