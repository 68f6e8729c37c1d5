/** The watch over one cluster (P2, and what starts P3): how far standbys are behind, repairs of them, and the automatic failover. Costs no history while all is well. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Alert } from '../../domain/alert.ts';
import { contradiction, judge, type ClusterView, type MemberState } from '../../domain/cluster.ts';
import { isResurgoError, type ErrorCode } from '../../domain/errors.ts';
import type { FailoverInput, FailoverResult } from '../../domain/failover.ts';
import { lockIds } from '../../domain/ids.ts';
import type { Notification } from '../../domain/notification.ts';
import { addSample, automaticRefusal, chooseRepair, isCritical, isHealthy, parseSynchronous, standbyReports, type Acknowledgement, type ClusterReport, type LagSample, type RepairFacts, type ReplicationLimits, type StandbyReport } from '../../domain/replication.ts';
import { formatBytes, formatDuration } from '../../config/units.ts';
import type { ReplicationConfig } from '../../config/schema.ts';
import { probeMember } from '../../providers/postgres/member-probe.ts';
import { dropIdleSlot, replicationFacts } from '../../providers/postgres/replication-facts.ts';
import type { Cluster } from '../cluster/members.ts';
import { askAll } from '../cluster/observe.ts';
import { StandbyRules, type RuleEvent } from './cluster-rules.ts';
import { clusterAlert, type ClusterAlert } from './cluster-words.ts';

export interface ClusterWatchDeps {
  readonly cluster: Cluster;
  readonly config: ReplicationConfig;
  readonly host: string;
  readonly submit: (alert: Alert) => Promise<void>;
  readonly tell: (notification: Notification) => Promise<void>;
  readonly startRun: (type: 'failover' | 'attachStandby', workflowId: string, input: object, summary: string) => Promise<void>;
  readonly outcomeOf: (workflowId: string, signal: AbortSignal) => Promise<unknown>;
  readonly isRunning: (workflowId: string) => Promise<boolean>;
  /** What the watch before this one was last heard to say. */
  readonly last: ClusterReport | undefined;
  readonly signal: AbortSignal;
}

/** A failover that was refused because the primary lives is no failure: it is looked at again at once. */
const harmless: readonly ErrorCode[] = ['primaryAlive', 'lockBusy', 'cancelled'];
/** Nobody is told of a primary that only this host cannot reach before it has been so for this long. */
const tellUnreachableMs = 30_000;

export class ClusterWatch {
  private readonly deps: ClusterWatchDeps;
  private readonly target: string;
  private readonly limits: ReplicationLimits;
  private readonly rules: StandbyRules;
  private readonly unsaid: (() => Promise<void>)[] = [];
  private saying = false;
  private primary: string | null;
  private timeline: number | null;
  private state: ClusterReport['state'] = 'unknown';
  private detail = 'not looked at yet';
  private standbys: readonly StandbyReport[] = [];
  private samples: readonly LagSample[];
  private synchronous: Acknowledgement | null = null;
  private readonly lostSince: Record<string, number> = {};
  /** Slots as the standbys themselves named them. */
  private readonly slots: Record<string, string> = {};
  private readonly criticalLooks: Record<string, number> = {};
  private readonly repairs: Record<string, RepairFacts>;
  /** Members whose repair was refused because they were primaries. */
  private readonly oldPrimaries = new Set<string>();
  private suspect: { since: number; rounds: number; told: boolean } | null = null;
  private failover: ClusterReport['failover'];
  private failoverRetryAt = 0;
  private clusterFired: Record<string, number>;
  private at = Date.now();

  constructor(deps: ClusterWatchDeps) {
    this.deps = deps;
    const { cluster, config, last } = deps;
    this.target = cluster.name;
    this.limits = { maxLagMs: config.maxLag, criticalLagMs: config.criticalLag, maxLagBytes: config.maxLagBytes ?? null, criticalLagBytes: config.criticalLagBytes ?? null };
    this.primary = last?.primary ?? null;
    this.timeline = last?.timeline ?? null;
    this.samples = last?.samples ?? [];
    this.repairs = { ...last?.repairs };
    this.failover = last?.failover ?? null;
    this.rules = new StandbyRules(cluster.name, cluster.members.map(({ name }) => name), config, last?.fired ?? {});
    this.clusterFired = Object.fromEntries(Object.entries(last?.fired ?? {}).filter(([id]) => id === this.ruleOf('primary') || id === this.ruleOf('two primaries')));
  }

  private readonly ruleOf = (what: 'primary' | 'two primaries'): string => `${this.target}/${what}`;
  private get automatic(): boolean { return this.deps.cluster.settings.automatic; }

  /** Until the signal. */
  async run(): Promise<void> {
    for (const [member, { outcome }] of Object.entries(this.repairs)) if (outcome === null) void this.awaitRepair(member);
    try {
      await Promise.all([this.lookLoop(), this.automatic ? this.probeLoop() : Promise.resolve()]);
    } catch (error) {
      if (!this.deps.signal.aborted) throw error;
    }
  }

  report(): ClusterReport {
    return {
      target: this.target, at: new Date(this.at).toISOString(), primary: this.primary, timeline: this.timeline, state: this.state, detail: this.detail.slice(0, 400), automatic: this.automatic,
      standbys: this.standbys.map((each) => ({ ...each, detail: each.detail.slice(0, 200) })), fired: { ...this.rules.fired(), ...this.clusterFired },
      samples: this.samples.slice(-40), repairs: this.repairs, failover: this.failover,
    };
  }

  private async lookLoop(): Promise<void> {
    for (;;) {
      const startedAt = performance.now();
      await this.guarded(() => this.look());
      await sleep(Math.max(0, this.deps.config.every - (performance.now() - startedAt)), undefined, { signal: this.deps.signal });
    }
  }

  /** Asks the primary alone, often: what an automatic failover is decided by. */
  private async probeLoop(): Promise<void> {
    const { cluster, signal } = this.deps;
    const { every } = cluster.settings;
    if (this.failover !== null && this.failover.outcome === null) await this.awaitFailover(this.failover.run);
    for (;;) {
      const startedAt = performance.now();
      await this.guarded(() => this.probe());
      await sleep(Math.max(0, every - (performance.now() - startedAt)), undefined, { signal });
    }
  }

  /** One cluster that cannot be looked at, for whatever reason, does not end the watch over the others. */
  private async guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.deps.signal.throwIfAborted();
      this.state = 'unknown';
      this.detail = error instanceof Error ? error.message : String(error);
    }
  }

  private async probe(): Promise<void> {
    const { cluster, signal } = this.deps;
    const { probes, timeout } = cluster.settings;
    const member = this.primary === null ? undefined : cluster.members.find(({ name }) => name === this.primary);
    const answer = member === undefined ? undefined : await probeMember(member.name, member.connection({ timeoutMs: timeout + 1000, applicationName: 'resurgo-watch' }), { timeoutMs: timeout, signal });
    if (answer?.role === 'primary') this.sawPrimary(answer);
    else if (answer?.role === 'standby') await this.decide(await this.ask());
    else {
      this.suspect ??= { since: Date.now(), rounds: 0, told: false };
      this.suspect.rounds++;
      if (this.suspect.rounds >= probes) await this.decide(await this.ask());
    }
  }

  /** Those that were silent already are not waited for long. */
  private async ask(): Promise<ClusterView> {
    const startedAt = Date.now();
    const members = await askAll(this.deps.cluster, { signal: this.deps.signal, hurry: [...(this.primary === null ? [] : [this.primary]), ...this.standbys.filter(({ state }) => state === 'silent').map(({ name }) => name)] });
    const since = this.suspect?.since ?? startedAt;
    return { members, rounds: Math.max(1, this.suspect?.rounds ?? 1), observedMs: Date.now() - since, silentRounds: {} };
  }

  private sawPrimary(answer: MemberState): void {
    this.primary = answer.name;
    this.timeline = answer.timeline ?? null;
    this.suspect = null;
    this.synchronous = parseSynchronous(answer.synchronousNames ?? '');
    if (answer.lsn !== undefined) this.samples = addSample(this.samples, [Date.now(), answer.lsn]);
    if (this.state === 'suspected' || this.state === 'no primary' || this.state === 'failing over') { this.state = 'degraded'; this.detail = `${answer.name} is the primary; its standbys are looked at next`; }
    // Its end is told when the failover has ended, not when it has promoted.
    if (this.failover === null || this.failover.outcome !== null) this.over('primary', `${answer.name} is the primary, timeline ${String(answer.timeline)}`);
  }

  /** The primary does not answer, or says that it is none: is there another, and may a machine make one? */
  private async decide(view: ClusterView): Promise<void> {
    const clash = contradiction(view);
    if (clash !== undefined) { await this.stopFor(clash.message); return; }
    const [primary] = judge(view.members).primaries;
    if (primary !== undefined) { this.sawPrimary(primary); return; }
    const { suspect } = this;
    if (suspect === null) return;
    this.at = Date.now();
    const silent = judge(view.members).silent.map(({ name, problem }) => `${name}: ${problem ?? 'silent'}`).join('; ');
    const synchronous = this.synchronous ?? parseSynchronous(judge(view.members).standbys.find(({ synchronousNames }) => (synchronousNames ?? '') !== '')?.synchronousNames ?? '');
    const refusal = automaticRefusal(view, { hangTimeoutMs: this.deps.cluster.settings.hangTimeout, primary: this.primary, synchronous });
    if (refusal?.code === 'primaryAlive') {
      this.state = 'suspected';
      this.detail = refusal.message;
      if (!suspect.told && Date.now() - suspect.since > tellUnreachableMs) {
        suspect.told = true;
        this.say('medium', `${this.target}: the primary cannot be seen from ${this.deps.host}`, `${refusal.message}. Nothing is done: ${silent}`, `unseen-${String(suspect.since)}`);
      }
      return;
    }
    const lost = this.primary ?? 'the primary';
    // Nobody at all answers: it may well be this host that is cut off, which passes or is told.
    if (refusal !== undefined && judge(view.members).silent.length === view.members.length && Date.now() - suspect.since < tellUnreachableMs) {
      this.state = 'suspected';
      this.detail = `no member answers: ${silent}`;
      return;
    }
    if (refusal !== undefined || !this.automatic) {
      this.state = 'no primary';
      this.detail = refusal?.message ?? `${lost} is dead; failover.automatic is off`;
      this.fire('primary', { severity: 'critical', name: `${this.target} has no primary`, description: `${silent}${refusal === undefined ? '' : `; ${refusal.message}`}`, ...(refusal === undefined ? {} : { handled: { by: 'people', text: `nothing is done by itself: ${refusal.message}. Look, then: resurgo failover ${this.target} --preview` } }) });
      return;
    }
    if (Date.now() < this.failoverRetryAt) return;
    await this.failOver(suspect, silent);
  }

  private async failOver(suspect: { since: number; rounds: number }, silent: string): Promise<void> {
    const run = `failover/${this.target}/auto-${String(suspect.since)}`;
    const input: FailoverInput = { schemaVersion: 1, target: this.target, automatic: true, startedBy: `replication watch on ${this.deps.host}`, observed: { since: new Date(suspect.since).toISOString(), rounds: suspect.rounds, ...(this.primary === null ? {} : { primary: this.primary }) }, ...(this.synchronous === null ? {} : { synchronous: this.synchronous }) };
    this.state = 'failing over';
    this.detail = `${this.primary ?? 'the primary'} gave no answer ${String(suspect.rounds)} times (${silent})`;
    try {
      await this.deps.startRun('failover', run, input, `failover of ${this.target}: ${this.detail}`);
    } catch (error) {
      this.deps.signal.throwIfAborted();
      this.detail = `the failover could not be started: ${error instanceof Error ? error.message : String(error)}`;
      return;
    }
    this.failover = { run, at: Date.now(), outcome: null };
    this.fire('primary', { severity: 'critical', name: `${this.target} has no primary`, description: this.detail, handled: { by: 'watch', text: `the watch fails over: ${run}` } });
    await this.awaitFailover(run);
  }

  private async awaitFailover(run: string): Promise<void> {
    const { signal } = this.deps;
    const at = this.failover?.at ?? Date.now();
    try {
      const result = (await this.deps.outcomeOf(run, signal)) as FailoverResult;
      this.failover = { run, at, outcome: `${result.status}: ${String(result.to)} is the primary` };
      if (result.from !== null) this.oldPrimaries.add(result.from);
      this.primary = result.to;
      this.suspect = null;
      this.samples = [];
      this.say(result.status === 'completed' ? 'high' : 'critical', `${this.target} failed over: ${String(result.to)} is the primary`, [
        `From ${String(result.from)} to ${String(result.to)}, writable ${formatDuration(result.writableAfterMs ?? result.durationMs)} after the failover began; data loss: ${result.loss.bytes === null ? `not known (${result.loss.detail})` : formatBytes(result.loss.bytes)}.`,
        ...result.warnings, ...(result.from === null ? [] : [`Bring ${result.from} back: resurgo rejoin ${this.target} ${result.from} --by rewind|clone|keep`]),
      ].join('\n'), `failover-${run}`);
    } catch (error) {
      signal.throwIfAborted();
      const code = isResurgoError(error) ? error.code : 'bug';
      const message = error instanceof Error ? error.message : String(error);
      this.failover = { run, at, outcome: `failed: ${message.slice(0, 300)}` };
      // Asked anew: the primary may be back, or somebody else may be failing over.
      this.suspect = null;
      if (harmless.includes(code)) return;
      this.failoverRetryAt = Date.now() + this.deps.config.cooldown;
      const promoted = isResurgoError(error) ? (error.details['result'] as FailoverResult | undefined)?.to : undefined;
      if (promoted != null) {
        // What failed after the promotion is over only when a person says so.
        this.alert({ target: this.target, rule: `${this.ruleOf('primary')}/after`, status: 'firing', severity: 'critical', firedAt: at, tracks: false, name: `failover of ${this.target} did not end well`, description: message, handled: { by: 'people', text: message } });
        this.say('critical', `failover of ${this.target} did not end well`, `${message}\n${isResurgoError(error) ? error.hint : ''}`, `failover-${run}`);
        return;
      }
      const text = `the automatic failover failed: ${message}. It is tried again in ${formatDuration(this.deps.config.cooldown)} at the earliest; by hand: resurgo failover ${this.target}`;
      this.fire('primary', { severity: 'critical', name: `failover of ${this.target} failed`, description: message, handled: { by: 'people', text } }, `${this.ruleOf('primary')}/failed`);
    }
  }

  /** Two primaries are suspected: nothing is done, a person is called. */
  private async stopFor(message: string): Promise<void> {
    // Asked once more, in case roles were just being changed.
    await sleep(1000, undefined, { signal: this.deps.signal });
    const again = contradiction({ members: await askAll(this.deps.cluster, { signal: this.deps.signal }), rounds: 1, observedMs: 0, silentRounds: {} });
    if (again === undefined || (await this.isBusy())) return;
    this.at = Date.now();
    this.suspect = null;
    this.state = 'stopped';
    this.detail = again.message;
    this.fire('two primaries', { severity: 'critical', name: `${this.target}: two primaries are suspected`, description: message, handled: { by: 'people', text: `everything stops: ${again.message}. Stop the one that should not be, compare timelines, then resurgo rejoin` } });
  }

  private isBusy = async (): Promise<boolean> => (await Promise.all([lockIds.failover(this.target), lockIds.standby(this.target)].map((id) => this.deps.isRunning(id).catch(() => true)))).includes(true);

  /** Every member, every `every`. */
  private async look(): Promise<void> {
    const { cluster, signal } = this.deps;
    const members = await askAll(cluster, { signal });
    const view: ClusterView = { members, rounds: 1, observedMs: 0, silentRounds: {} };
    const clash = contradiction(view);
    if (clash !== undefined) { await this.stopFor(clash.message); this.sayAll(); return; }
    const [primary] = judge(members).primaries;
    if (primary === undefined) {
      if (!this.automatic) await this.confirmLoss();
      this.sayAll();
      return;
    }
    this.over('two primaries', `${primary.name} is the only primary`);
    this.sawPrimary(primary);
    const connection = cluster.member(primary.name).connection({ timeoutMs: cluster.settings.timeout + 1000, applicationName: 'resurgo-watch' });
    const facts = await replicationFacts(connection, AbortSignal.any([signal, AbortSignal.timeout(cluster.settings.timeout)])).catch(() => undefined);
    signal.throwIfAborted();
    if (facts === undefined) { this.sayAll(); return; }
    const now = (this.at = Date.now());
    const busy = await this.isBusy();
    for (const { name, receiver } of members) if (receiver?.slot != null) this.slots[name] = receiver.slot;
    this.standbys = standbyReports(members, cluster.members.map(({ name, slot }) => ({ name, slot: this.slots[name] ?? slot })), facts, this.samples, now);
    for (const report of this.standbys) {
      const { name, state } = report;
      if (state === 'streaming') { Reflect.deleteProperty(this.lostSince, name); this.oldPrimaries.delete(name); } else this.lostSince[name] ??= now;
      this.criticalLooks[name] = state === 'streaming' && isCritical(report, this.limits) ? (this.criticalLooks[name] ?? 0) + 1 : 0;
    }
    const well = this.standbys.every((report) => isHealthy(report, this.limits));
    this.state = well ? 'ok' : 'degraded';
    this.detail = this.standbys.filter((report) => !isHealthy(report, this.limits)).map((report) => `${report.name} ${report.state === 'streaming' ? `is ${formatDuration(report.lagMs ?? 0)} and ${formatBytes(report.lagBytes ?? 0)} behind` : report.detail}`).join('; ');
    for (const event of this.rules.judge(this.standbys, now, busy)) this.happened(event);
    await this.guardSlots(connection);
    await this.repair(busy, now);
    this.sayAll();
  }

  /** Without the automatic failover nobody probes between two looks: the probes are made now. */
  private async confirmLoss(): Promise<void> {
    const { cluster, signal } = this.deps;
    this.suspect ??= { since: Date.now(), rounds: 0, told: false };
    for (let round = 0; round < cluster.settings.probes; round++) {
      const view = await this.ask();
      this.suspect.rounds++;
      if (judge(view.members).primaries.length > 0 || round === cluster.settings.probes - 1) { await this.decide(view); return; }
      await sleep(cluster.settings.every, undefined, { signal });
    }
  }

  private happened({ kind, rule, member, event, report, firedAt }: RuleEvent): void {
    const behind = `${formatDuration(report.lagMs ?? 0)} and ${formatBytes(report.lagBytes ?? 0)} behind`;
    if (kind === 'lag' || kind === 'lag bytes') {
      this.say('medium', event === 'firing' ? `${this.target}: standby ${member} is ${behind}` : `${this.target}: standby ${member} has caught up`, event === 'firing' ? `More than ${kind === 'lag' ? formatDuration(this.limits.maxLagMs) : formatBytes(this.limits.maxLagBytes ?? 0)}; above ${formatDuration(this.limits.criticalLagMs)} it is rebuilt${this.deps.config.rebuild ? '' : ' by hand: resurgo standby rebuild'}.` : `It is ${behind} now.`, `${rule.id}-${event}-${String(firedAt)}`);
      return;
    }
    const text = this.oldPrimaries.has(member) ? `it was a primary and is left alone: resurgo rejoin ${this.target} ${member} --by rewind|clone|keep`
      : this.deps.config.rebuild ? 'the watch starts it again, or rebuilds it' : `by hand: resurgo standby reattach|rebuild ${this.target} ${member}`;
    this.alert({
      target: this.target, member, rule: rule.id, status: event === 'firing' ? 'firing' : 'resolved', severity: rule.severity, firedAt,
      name: kind === 'streams' ? `standby ${member} of ${this.target} is lost` : `standby ${member} of ${this.target} is far behind`, description: kind === 'streams' ? report.detail : behind,
      handled: { by: this.oldPrimaries.has(member) || !this.deps.config.rebuild ? 'people' : 'watch', text },
      value: kind === 'streams' ? report.state : kind === 'critical' ? Math.round((report.lagMs ?? 0) / 1000) : report.lagBytes, threshold: kind === 'streams' ? 'streaming' : (rule.above ?? null),
    });
  }

  /** A slot that nobody reads must not fill the disk of the primary. */
  private async guardSlots(connection: Parameters<typeof dropIdleSlot>[0]): Promise<void> {
    for (const { name, slot, state } of this.standbys) {
      if (slot === null || slot.active || state === 'streaming' || (slot.retainedBytes ?? 0) <= this.deps.config.slotLimit) continue;
      const dropped = await dropIdleSlot(connection, slot.name, this.deps.signal).catch(() => false);
      if (dropped) this.say('high', `${this.target}: the slot of ${name} was dropped`, `It held ${formatBytes(slot.retainedBytes ?? 0)} of WAL on the primary, more than slotLimit (${formatBytes(this.deps.config.slotLimit)}), and nobody read it. ${name} is to be rebuilt.`, `${this.target}/${name}/slot-${String(this.lostSince[name] ?? 0)}`);
    }
  }

  private async repair(busy: boolean, now: number): Promise<void> {
    const { cluster, config } = this.deps;
    const choice = chooseRepair({
      reports: this.standbys, limits: this.limits, now, enabled: config.rebuild, busy: busy || Object.values(this.repairs).some(({ outcome }) => outcome === null),
      lostSince: this.lostSince, criticalLooks: this.criticalLooks, lostAfterMs: config.lostAfter, cooldownMs: config.cooldown, repairs: this.repairs,
      untouchable: cluster.members.filter(({ name, host, dataDir }) => host === undefined || dataDir === undefined || this.oldPrimaries.has(name)).map(({ name }) => name),
    });
    if (choice === undefined) return;
    if ('refused' in choice) { this.detail = `${this.detail}; ${choice.member} is not repaired: ${choice.refused}`; return; }
    const { member, by, why } = choice;
    const run = `standby/${this.target}/${member}/${by}-${String(now)}`;
    try {
      await this.deps.startRun('attachStandby', run, { schemaVersion: 1, target: this.target, member, by, startedBy: `replication watch on ${this.deps.host}` }, `${by} ${member} of ${this.target}: ${why}`);
    } catch {
      this.deps.signal.throwIfAborted();
      return;
    }
    this.repairs[member] = { by, at: now, run, outcome: null, ok: null, rebuiltAt: by === 'rebuild' ? now : (this.repairs[member]?.rebuiltAt ?? null) };
    this.say('medium', `${this.target}: ${by} of standby ${member} begins`, `${why}. ${run}`, run);
    void this.awaitRepair(member);
  }

  private async awaitRepair(member: string): Promise<void> {
    const repair = this.repairs[member];
    if (repair === undefined) return;
    const end = (ok: boolean, outcome: string): void => {
      this.repairs[member] = { ...repair, ok, outcome: outcome.slice(0, 200) };
      if (ok) this.criticalLooks[member] = 0;
      this.say(ok ? 'low' : 'high', `${this.target}: ${repair.by} of standby ${member} ${ok ? 'succeeded' : 'failed'}`, outcome, `${repair.run}-end`);
    };
    try {
      const result = (await this.deps.outcomeOf(repair.run, this.deps.signal)) as { readonly primary: string };
      end(true, `it streams from ${result.primary}`);
    } catch (error) {
      if (this.deps.signal.aborted) return;
      if (isResurgoError(error, 'destinationNotEmpty')) this.oldPrimaries.add(member);
      end(false, error instanceof Error ? error.message : String(error));
    }
  }

  private fire(rule: 'primary' | 'two primaries', about: Pick<ClusterAlert, 'severity' | 'name' | 'description' | 'handled'>, id = this.ruleOf(rule)): void {
    if (this.clusterFired[id] !== undefined) return;
    const firedAt = (this.clusterFired[id] = Date.now());
    // In the cool-down of an incident before, its successor waits; people must not.
    if (about.handled?.by === 'people') this.say(about.severity, about.name, `${about.description}\n${about.handled.text}`, `${id}-${String(firedAt)}`);
    this.alert({ target: this.target, rule: id, status: 'firing', firedAt, ...about });
  }

  private over(rule: 'primary' | 'two primaries', text: string): void {
    for (const id of [this.ruleOf(rule), `${this.ruleOf(rule)}/failed`]) {
      const firedAt = this.clusterFired[id];
      if (firedAt === undefined) continue;
      Reflect.deleteProperty(this.clusterFired, id);
      this.alert({ target: this.target, rule: id, status: 'resolved', severity: 'critical', name: `${this.target}: ${rule}`, description: text, firedAt });
    }
  }

  private alert(about: ClusterAlert): void {
    const alert = clusterAlert(about);
    if (alert !== undefined) this.later(() => this.deps.submit(alert));
  }

  private say(severity: Notification['severity'], subject: string, text: string, key: string): void {
    this.later(() => this.deps.tell({ event: 'replication', severity, subject: subject.slice(0, 200), text, dedupeKey: `replication/${key}`.slice(0, 250), group: `resurgo/replication/${this.target}`, facts: { cluster: this.target, host: this.deps.host } }));
  }

  private later(what: () => Promise<void>): void {
    this.unsaid.push(what);
    if (this.unsaid.length > 100) this.unsaid.splice(1, this.unsaid.length - 100);
    this.sayAll();
  }

  /** In order, beside the watch, which waits for nobody; what Temporal does not take now is said at the next look. */
  private sayAll(): void {
    if (this.saying) return;
    this.saying = true;
    void (async () => {
      try {
        while (this.unsaid.length > 0) {
          await this.unsaid[0]?.();
          this.unsaid.shift();
        }
      } catch {
        // At the next look.
      } finally {
        this.saying = false;
      }
    })();
  }
}
