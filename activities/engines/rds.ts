import type { RdsTargetConfig } from '../../config/schema.ts';
import { snapshotIdentifier, type RdsFacts } from '../../domain/rds.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader } from '../../domain/ports.ts';
import type { AwsPlace } from '../../providers/aws/client-options.ts';
import { waitUntil } from '../../providers/aws/wait.ts';
import { ownerTag, Rds, type RdsKind } from '../../providers/rds/rds-database.ts';
import { findDatabase, removeSnapshots, takeSnapshot } from '../../providers/rds/take-snapshot.ts';
import { settingsOf, type TargetSettings } from '../target-settings.ts';
import type { EngineDefinition } from './engine.ts';
import type { Pulse, RestoreEngine } from './restore-engine.ts';

type RdsSettings = TargetSettings<RdsTargetConfig>;

const sourceOf = ({ name, config }: RdsSettings): { readonly kind: RdsKind; readonly identifier: string; readonly place: AwsPlace } => {
  const identifier = config.instance ?? config.cluster;
  if (identifier === undefined) throw new ResurgoError('configInvalid', `target ${name} names neither instance nor cluster`);
  return { kind: config.instance === undefined ? 'cluster' : 'instance', identifier, place: { region: config.region, endpoint: config.endpoint } };
};

const patienceOf = ({ config }: RdsSettings): { deadlineMs: number; firstMs?: number; mostMs?: number } => ({ deadlineMs: config.deadline, ...(config.poll === undefined ? {} : { firstMs: config.poll, mostMs: config.poll }) });

/** RDS snapshots in the same catalogue (B7): the data stays at AWS, the repositories hold its description. */
export const rdsEngine: EngineDefinition = {
  name: 'rds',
  async prepare({ settings }) {
    const { kind, identifier, place } = sourceOf(settingsOf(settings, 'rds'));
    const rds = await Rds.open(place);
    try {
      return { systemId: (await findDatabase(rds, kind, identifier)).resourceId, warnings: [] };
    } finally {
      rds.close();
    }
  },

  async dump({ plan, settings, writer, signal, report }) {
    const target = settingsOf(settings, 'rds');
    const source = sourceOf(target);
    const { config } = target;
    const { database, snapshots, at } = await takeSnapshot({
      ...source, snapshot: snapshotIdentifier(plan.target, plan.backup), copies: config.copyTo ?? [], deadlineMs: config.deadline, signal,
      tags: { [`${ownerTag}:target`]: plan.target, [`${ownerTag}:backup`]: plan.backup },
      ...(config.poll === undefined ? {} : { pollMs: config.poll }),
      onState: (state) => { report({ phase: 'snapshot', note: state }); },
    });
    const facts: RdsFacts = {
      engine: 'rds', kind: source.kind, identifier: source.identifier, databaseEngine: database.engine, engineVersion: database.engineVersion, instanceClass: database.instanceClass, allocatedGiB: database.allocatedGiB,
      subnetGroup: database.subnetGroup, securityGroups: database.securityGroups, snapshotAt: at, snapshots,
    };
    const about = writer.openStream('rds.json', 'blob');
    await about.write(Buffer.from(`${JSON.stringify(facts, null, 1)}\n`));
    await about.end();
    return {
      facts, counts: {}, serverVersion: `${database.engine} ${database.engineVersion}`, checks: [`AWS says available (${snapshots.map(({ region }) => region).join(', ')})`],
      warnings: [], check: () => undefined,
    };
  },

  /** Effect: the snapshots of the backup are gone, in every region. */
  async removed(settings, backup) {
    const target = settingsOf(settings, 'rds');
    const { kind, place } = sourceOf(target);
    await removeSnapshots(kind, snapshotIdentifier(target.name, backup), [place, ...(target.config.copyTo ?? [])]);
  },

  restore: (_deps, settings) => rdsRestoreEngine(settingsOf(settings, 'rds')),
};

const notSo = (what: string): never => {
  throw new ResurgoError('unsupported', `an RDS restore ${what}`, { details: { hint: 'Restore beside (--to NEW-INSTANCE), then point the application, or DNS, at it.' } });
};

/** @throws inputInvalid */
function momentOf(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new ResurgoError('inputInvalid', `--time ${JSON.stringify(text)} is not a time`);
  return new Date(ms).toISOString();
}

/** Restores a snapshot into a new instance or cluster. */
function rdsRestoreEngine(settings: RdsSettings): RestoreEngine {
  const { kind, place } = sourceOf(settings);
  const within = async <T>(work: (rds: Rds) => Promise<T>): Promise<T> => {
    const rds = await Rds.open(place);
    try {
      return await work(rds);
    } finally {
      rds.close();
    }
  };
  const factsOf = (reader: BackupReader | undefined): RdsFacts => {
    const engine = reader?.index.engine;
    if (engine?.engine !== 'rds') throw new ResurgoError('bug', 'an RDS restore without an RDS backup');
    return engine;
  };
  const waitFor = (rds: Rds, identifier: string, { signal, report }: Pulse): Promise<true> =>
    waitUntil(async () => {
      const found = await rds.database(kind, identifier);
      if (found === undefined) throw new ResurgoError('awsFailed', `RDS ${kind} ${identifier} is gone`);
      if (['failed', 'incompatible-restore', 'incompatible-network', 'incompatible-parameters', 'restore-error', 'storage-full'].includes(found.status)) throw new ResurgoError('awsFailed', `RDS ${kind} ${identifier} is ${found.status}`);
      return { state: found.status, ...(found.status === 'available' ? { done: true as const } : {}) };
    }, { ...patienceOf(settings), signal, what: `RDS ${kind} ${identifier}`, onState: (state) => { report({ phase: `restore ${identifier}`, note: state }); } });

  return {
    async inspect(input, _chain, open) {
      if (input.mode === 'in-place') return notSo('in place is not possible: AWS restores into a new instance only');
      if ((input.only?.length ?? 0) > 0) return notSo('brings back the whole instance; --only does not go with it');
      if (input.digest === true) return notSo('reads no tables; --digest does not go with it');
      const destination = input.mode === 'scratch' ? `resurgo-scratch-${input.id}` : (input.to as string);
      if (!/^[A-Za-z][A-Za-z0-9-]{0,62}$/.test(destination) || destination.includes('--') || destination.endsWith('-')) throw new ResurgoError('inputInvalid', `--to ${JSON.stringify(destination)} is not an identifier of RDS`);
      const facts = factsOf(await open());
      const [snapshot] = facts.snapshots;
      if (input.lsn !== undefined || input.point !== undefined) return notSo('goes to a time; --lsn and --point do not go with it');
      return within(async (rds) => {
        if ((await rds.database(kind, destination)) !== undefined) throw new ResurgoError('destinationNotEmpty', `RDS ${kind} ${destination} exists`);
        const warnings = kind === 'cluster' ? ['a restored cluster has no instances: add one to connect to it'] : [];
        const base = { destination, stopsServices: false, replaces: false, requiredBytes: 0, freeBytes: null, warnings };
        if (input.time !== undefined) {
          const { restorable } = await findDatabase(rds, kind, facts.identifier);
          const at = input.time === 'latest' ? restorable.to : momentOf(input.time);
          if (at === null || restorable.to === null) throw new ResurgoError('recoveryTargetUnreachable', `RDS ${kind} ${facts.identifier} has no restorable time: automated backups are off`);
          if (at > restorable.to || (restorable.from !== null && at < restorable.from)) throw new ResurgoError('recoveryTargetUnreachable', `${at} is outside of what RDS can restore of ${facts.identifier}: ${restorable.from ?? '?'} to ${restorable.to}`);
          return { ...base, engineState: { at: input.time === 'latest' ? 'latest' : at }, recoversTo: { time: at } };
        }
        if (snapshot === undefined || (await rds.snapshot(kind, snapshot.identifier))?.status !== 'available') throw new ResurgoError('objectMissing', `snapshot ${snapshot?.identifier ?? '?'} is not available in ${place.region}`);
        return { ...base, recoversTo: { time: facts.snapshotAt } };
      });
    },
    async build(plan: RestorePlan, chain, pulse) {
      const facts = factsOf(chain.at(-1));
      const [snapshot] = facts.snapshots;
      if (snapshot === undefined) throw new ResurgoError('bug', 'a backup without a snapshot');
      await within(async (rds) => {
        const at = (plan.engineState as { readonly at: string } | undefined)?.at;
        await rds.restore(kind, plan.destination, at !== undefined ? { source: facts.identifier, at: at === 'latest' ? 'latest' : new Date(at) } : { snapshot: kind === 'cluster' ? snapshot.arn : snapshot.identifier }, { engine: facts.databaseEngine, instanceClass: facts.instanceClass, subnetGroup: facts.subnetGroup, securityGroups: facts.securityGroups }, [{ Key: `${ownerTag}:restore`, Value: plan.id }, { Key: `${ownerTag}:target`, Value: plan.target }]);
        await waitFor(rds, plan.destination, pulse);
      });
      return { bytes: facts.allocatedGiB * 1024 ** 3, files: 1, records: null, checks: [], warnings: [] };
    },
    verify: (plan, _chain, pulse) => within(async (rds) => {
      await waitFor(rds, plan.destination, pulse);
      return { checks: ['AWS says available'] };
    }),
    swapIn: async () => notSo('has nothing to swap'),
    swapBack: async () => notSo('has nothing to swap'),
    async settle(plan) {
      if (plan.mode !== 'scratch') return `RDS ${kind} ${plan.destination} is available`;
      await within((rds) => rds.deleteRestored(kind, plan.destination, plan.id));
      return `RDS ${kind} ${plan.destination} is being deleted`;
    },
    async discard(plan) {
      const gone = await within((rds) => rds.deleteRestored(kind, plan.destination, plan.id));
      return gone ? `RDS ${kind} ${plan.destination} is being deleted` : `there was no RDS ${kind} ${plan.destination}`;
    },
    health: async (plan) => `RDS ${kind} ${plan.destination}`,
    keeps: async () => false,
    confirm: async () => notSo('keeps nothing to confirm'),
    rollback: async () => notSo('keeps nothing to roll back'),
  };
}
