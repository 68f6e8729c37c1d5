/** What the watch of a cluster does about its standbys: one repair at a time, as a run of its own, and slots that nobody reads. */
import { isResurgoError } from '../../domain/errors.ts';
import { chooseRepair, isCritical, type RepairFacts, type ReplicationLimits, type StandbyReport } from '../../domain/replication.ts';
import { formatBytes } from '../../config/units.ts';
import type { ReplicationConfig } from '../../config/schema.ts';
import type { PostgresConnection } from '../../providers/postgres/connection.ts';
import { dropIdleSlot } from '../../providers/postgres/replication-facts.ts';
import type { Cluster } from '../cluster/members.ts';
import type { ClusterVoice } from './cluster-voice.ts';

export interface RepairDeps {
  readonly cluster: Cluster;
  readonly config: ReplicationConfig;
  readonly limits: ReplicationLimits;
  readonly host: string;
  readonly voice: ClusterVoice;
  readonly startRun: (type: 'attachStandby', workflowId: string, input: object, summary: string) => Promise<void>;
  readonly outcomeOf: (workflowId: string, signal: AbortSignal) => Promise<unknown>;
  readonly signal: AbortSignal;
}

export class ClusterRepairs {
  /** Members whose repair was refused because they were primaries, and those that were failed over from. */
  readonly oldPrimaries = new Set<string>();
  readonly done: Record<string, RepairFacts>;
  private readonly deps: RepairDeps;
  private readonly lostSince: Record<string, number> = {};
  private readonly criticalLooks: Record<string, number> = {};

  constructor(deps: RepairDeps, before: Readonly<Record<string, RepairFacts>>) {
    this.deps = deps;
    this.done = { ...before };
  }

  /** Those that were at work when the watch before was last heard of. */
  resume(): void {
    for (const [member, { outcome }] of Object.entries(this.done)) if (outcome === null) void this.awaitEnd(member);
  }

  saw(reports: readonly StandbyReport[], now: number): void {
    for (const report of reports) {
      const { name, state } = report;
      if (state === 'streaming') {
        Reflect.deleteProperty(this.lostSince, name);
        this.oldPrimaries.delete(name);
      } else this.lostSince[name] ??= now;
      this.criticalLooks[name] = state === 'streaming' && isCritical(report, this.deps.limits) ? (this.criticalLooks[name] ?? 0) + 1 : 0;
    }
  }

  /** A slot that nobody reads must not fill the disk of the primary. */
  async guardSlots(reports: readonly StandbyReport[], primary: PostgresConnection): Promise<void> {
    const { config, voice, signal, cluster } = this.deps;
    for (const { name, slot, state } of reports) {
      if (slot === null || slot.active || state === 'streaming' || (slot.retainedBytes ?? 0) <= config.slotLimit) continue;
      const dropped = await dropIdleSlot(primary, slot.name, signal).catch(() => false);
      if (dropped) voice.say('high', `${cluster.name}: the slot of ${name} was dropped`, `It held ${formatBytes(slot.retainedBytes ?? 0)} of WAL on the primary, more than slotLimit (${formatBytes(config.slotLimit)}), and nobody read it. ${name} is to be rebuilt.`, `${cluster.name}/${name}/slot-${String(this.lostSince[name] ?? 0)}`);
    }
  }

  /** Begins the repair that is due. @returns why one that is due is not begun */
  async repair(reports: readonly StandbyReport[], busy: boolean, now: number): Promise<string | undefined> {
    const { cluster, config, limits, voice, host, signal } = this.deps;
    const choice = chooseRepair({
      reports, limits, now, enabled: config.rebuild, busy: busy || Object.values(this.done).some(({ outcome }) => outcome === null),
      lostSince: this.lostSince, criticalLooks: this.criticalLooks, lostAfterMs: config.lostAfter, cooldownMs: config.cooldown, repairs: this.done,
      untouchable: cluster.members.filter(({ name, host: at, dataDir }) => at === undefined || dataDir === undefined || this.oldPrimaries.has(name)).map(({ name }) => name),
    });
    if (choice === undefined) return undefined;
    if ('refused' in choice) return `${choice.member} is not repaired: ${choice.refused}`;
    const { member, by, why } = choice;
    const run = `standby/${cluster.name}/${member}/${by}-${String(now)}`;
    try {
      await this.deps.startRun('attachStandby', run, { schemaVersion: 1, target: cluster.name, member, by, startedBy: `replication watch on ${host}` }, `${by} ${member} of ${cluster.name}: ${why}`);
    } catch (error) {
      signal.throwIfAborted();
      return `${by} of ${member} could not be started: ${error instanceof Error ? error.message : String(error)}`;
    }
    this.done[member] = { by, at: now, run, outcome: null, ok: null, rebuiltAt: by === 'rebuild' ? now : (this.done[member]?.rebuiltAt ?? null) };
    voice.say('medium', `${cluster.name}: ${by} of standby ${member} begins`, `${why}. ${run}`, run);
    void this.awaitEnd(member);
    return undefined;
  }

  private async awaitEnd(member: string): Promise<void> {
    const { cluster, voice, outcomeOf, signal } = this.deps;
    const repair = this.done[member];
    if (repair === undefined) return;
    const end = (ok: boolean, outcome: string): void => {
      this.done[member] = { ...repair, ok, outcome: outcome.slice(0, 200) };
      if (ok) this.criticalLooks[member] = 0;
      voice.say(ok ? 'low' : 'high', `${cluster.name}: ${repair.by} of standby ${member} ${ok ? 'succeeded' : 'failed'}`, outcome, `${repair.run}-end`);
    };
    try {
      const result = (await outcomeOf(repair.run, signal)) as { readonly primary: string };
      end(true, `it streams from ${result.primary}`);
    } catch (error) {
      if (signal.aborted) return;
      if (isResurgoError(error, 'destinationNotEmpty')) this.oldPrimaries.add(member);
      end(false, error instanceof Error ? error.message : String(error));
    }
  }
}
