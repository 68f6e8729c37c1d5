/** The watch over one cluster (P2, and what starts P3): how far standbys are behind, repairs of them, and the automatic failover. Costs no history while all is well. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Alert } from '../../domain/alert.ts';
import { contradiction, judge, type ClusterView, type MemberState } from '../../domain/cluster.ts';
import { isResurgoError, type ErrorCode } from '../../domain/errors.ts';
import type { FailoverInput, FailoverResult } from '../../domain/failover.ts';
import { lockIds } from '../../domain/ids.ts';
import type { Notification } from '../../domain/notification.ts';
import { addSample, automaticRefusal, isHealthy, parseSynchronous, standbyReports, type Acknowledgement, type ClusterReport, type LagSample, type ReplicationLimits, type StandbyReport } from '../../domain/replication.ts';
import { formatBytes, formatDuration } from '../../config/units.ts';
import type { ReplicationConfig } from '../../config/schema.ts';
import { probeMember } from '../../providers/postgres/member-probe.ts';
import { replicationFacts } from '../../providers/postgres/replication-facts.ts';
import type { Cluster } from '../cluster/members.ts';
import type { ActivityDeps } from '../deps.ts';
import { askAll } from '../cluster/observe.ts';
import { StandbyRules, type RuleEvent } from './cluster-rules.ts';
import { ClusterRepairs } from './cluster-repairs.ts';
import { ClusterVoice } from './cluster-voice.ts';

export interface ClusterWatchDeps {
  readonly cluster: Cluster;
  readonly config: ReplicationConfig;
  readonly host: string;
  readonly submit: (alert: Alert) => Promise<void>;
  readonly tell: (notification: Notification) => Promise<void>;
  readonly startRun: (type: 'failover' | 'attachStandby', workflowId: string, input: object, summary: string) => Promise<void>;
  readonly outcomeOf: (workflowId: string, signal: AbortSignal) => Promise<unknown>;
  readonly isRunning: (workflowId: string) => Promise<boolean>;
  readonly newestRun: NonNullable<ActivityDeps['newestRun']>;
  /** What the watch before this one was last heard to say. */
  readonly last: ClusterReport | undefined;
  readonly signal: AbortSignal;
}

/** A failover that was refused because the primary lives is no failure: it is looked at again soon. */
const harmless: readonly ErrorCode[] = ['primaryAlive', 'lockBusy', 'cancelled'];
/** Between two failovers that were refused, ms: who sees it otherwise than this watch may go on doing so. */
const again = 10_000;
/** Nobody is told of a primary that only this host cannot reach before it has been so for this long. */
const tellUnreachableMs = 30_000;

export class ClusterWatch {
  private readonly deps: ClusterWatchDeps;
  private readonly target: string;
  private readonly limits: ReplicationLimits;
  private readonly rules: StandbyRules;
  private readonly voice: ClusterVoice;
  private readonly repairs: ClusterRepairs;
  private primary: string | null;
  private timeline: number | null;
  private state: ClusterReport['state'] = 'unknown';
  private detail = 'not looked at yet';
  private standbys: readonly StandbyReport[] = [];
  private samples: readonly LagSample[];
  private synchronous: Acknowledgement | null = null;
  /** Slots as the standbys themselves named them. */
  private readonly slots: Record<string, string> = {};
  private suspect: { since: number; rounds: number; told: boolean } | null = null;
  private failover: ClusterReport['failover'];
  private failoverRetryAt = 0;
  private at = Date.now();

  constructor(deps: ClusterWatchDeps) {
    this.deps = deps;
    const { cluster, config, last } = deps;
    this.target = cluster.name;
    this.limits = { maxLagMs: config.maxLag, criticalLagMs: config.criticalLag, maxLagBytes: config.maxLagBytes ?? null, criticalLagBytes: config.criticalLagBytes ?? null };
    this.primary = last?.primary ?? null;
    this.timeline = last?.timeline ?? null;
    this.samples = last?.samples ?? [];
    this.failover = last?.failover ?? null;
    this.rules = new StandbyRules(cluster.name, cluster.members.map(({ name }) => name), config, last?.fired ?? {});
    this.voice = new ClusterVoice({ target: cluster.name, host: deps.host, submit: deps.submit, tell: deps.tell }, last?.fired ?? {});
    this.repairs = new ClusterRepairs({ cluster, config, limits: this.limits, host: deps.host, voice: this.voice, startRun: deps.startRun, outcomeOf: deps.outcomeOf, signal: deps.signal }, last?.repairs ?? {});
  }

  private get automatic(): boolean { return this.deps.cluster.settings.automatic; }

  /** Until the signal. */
  async run(): Promise<void> {
    this.repairs.resume();
    try {
      await Promise.all([this.lookLoop(), this.automatic ? this.probeLoop() : Promise.resolve()]);
    } catch (error) {
      if (!this.deps.signal.aborted) throw error;
    }
  }

  report(): ClusterReport {
    return {
      target: this.target, at: new Date(this.at).toISOString(), primary: this.primary, timeline: this.timeline, state: this.state, detail: this.detail.slice(0, 400), automatic: this.automatic,
      standbys: this.standbys.map((each) => ({ ...each, detail: each.detail.slice(0, 200) })), fired: { ...this.rules.fired(), ...this.voice.fired },
      samples: this.samples.slice(-40), repairs: this.repairs.done, failover: this.failover,
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
    await this.adoptFailover();
    if (this.failover !== null && this.failover.outcome === null) await this.awaitFailover(this.failover.run);
    for (;;) {
      const startedAt = performance.now();
      await this.guarded(() => this.probe());
      await sleep(Math.max(0, every - (performance.now() - startedAt)), undefined, { signal });
    }
  }

  /** A failover that the watch before this one began after it was last heard of: its end is to be told by somebody. */
  private async adoptFailover(): Promise<void> {
    if (this.failover !== null && this.failover.outcome === null) return;
    const found = await this.deps.newestRun('failover', this.automaticRun('')).catch(() => undefined);
    if (found === undefined || found.workflowId === this.failover?.run) return;
    const heard = this.deps.last === undefined ? Infinity : Date.parse(this.deps.last.at);
    if (found.running || found.startedAt > heard) this.failover = { run: found.workflowId, at: found.startedAt, outcome: null };
  }

  private readonly automaticRun = (since: string): string => `failover/${this.target}/auto-${since}`;

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
    if (this.failover === null || this.failover.outcome !== null) this.voice.over('primary', `${answer.name} is the primary, timeline ${String(answer.timeline)}`);
  }

  /** The primary does not answer, or says that it is none: is there another, and may a machine make one? */
  private async decide(view: ClusterView): Promise<void> {
    const clash = contradiction(view);
    if (clash !== undefined) { await this.stopFor(clash.message); return; }
    const { primaries: [primary], silent: quiet, standbys } = judge(view.members);
    if (primary !== undefined) { this.sawPrimary(primary); return; }
    const { suspect } = this;
    if (suspect === null) return;
    this.at = Date.now();
    const silent = quiet.map(({ name, problem }) => `${name}: ${problem ?? 'silent'}`).join('; ');
    const synchronous = this.synchronous ?? parseSynchronous(standbys.find(({ synchronousNames }) => (synchronousNames ?? '') !== '')?.synchronousNames ?? '');
    const refusal = automaticRefusal(view, { hangTimeoutMs: this.deps.cluster.settings.hangTimeout, primary: this.primary, synchronous });
    if (refusal?.code === 'primaryAlive') {
      this.state = 'suspected';
      this.detail = refusal.message;
      if (!suspect.told && Date.now() - suspect.since > tellUnreachableMs) {
        suspect.told = true;
        this.voice.say('medium', `${this.target}: the primary cannot be seen from ${this.deps.host}`, `${refusal.message}. Nothing is done: ${silent}`, `unseen-${String(suspect.since)}`);
      }
      return;
    }
    const lost = this.primary ?? 'the primary';
    // Nobody at all answers: it may well be this host that is cut off, which passes or is told.
    if (refusal !== undefined && quiet.length === view.members.length && Date.now() - suspect.since < tellUnreachableMs) {
      this.state = 'suspected';
      this.detail = `no member answers: ${silent}`;
      return;
    }
    if (refusal !== undefined || !this.automatic) {
      this.state = 'no primary';
      this.detail = refusal?.message ?? `${lost} is dead; failover.automatic is off`;
      this.voice.fire('primary', { severity: 'critical', name: `${this.target} has no primary`, description: `${silent}${refusal === undefined ? '' : `; ${refusal.message}`}`, ...(refusal === undefined ? {} : { handled: { by: 'people', text: `nothing is done by itself: ${refusal.message}. Look, then: resurgo failover ${this.target} --preview` } }) });
      return;
    }
    if (Date.now() < this.failoverRetryAt) return;
    await this.failOver(suspect, silent);
  }

  private async failOver(suspect: { since: number; rounds: number }, silent: string): Promise<void> {
    const run = this.automaticRun(String(suspect.since));
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
    this.voice.fire('primary', { severity: 'critical', name: `${this.target} has no primary`, description: this.detail, handled: { by: 'watch', text: `the watch fails over: ${run}` } });
    await this.awaitFailover(run);
  }

  private async awaitFailover(run: string): Promise<void> {
    const { signal } = this.deps;
    const at = this.failover?.at ?? Date.now();
    try {
      const result = (await this.deps.outcomeOf(run, signal)) as FailoverResult;
      this.failover = { run, at, outcome: `${result.status}: ${String(result.to)} is the primary` };
      if (result.from !== null) this.repairs.oldPrimaries.add(result.from);
      this.primary = result.to;
      this.suspect = null;
      this.samples = [];
      this.voice.say(result.status === 'completed' ? 'high' : 'critical', `${this.target} failed over: ${String(result.to)} is the primary`, [
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
      if (harmless.includes(code)) {
        this.failoverRetryAt = Date.now() + again;
        return;
      }
      this.failoverRetryAt = Date.now() + this.deps.config.cooldown;
      const promoted = isResurgoError(error) ? (error.details['result'] as FailoverResult | undefined)?.to : undefined;
      if (promoted != null) {
        // What failed after the promotion is over only when a person says so.
        this.voice.alert({ target: this.target, rule: `${this.voice.ruleOf('primary')}/after`, status: 'firing', severity: 'critical', firedAt: at, tracks: false, name: `failover of ${this.target} did not end well`, description: message, handled: { by: 'people', text: message } });
        this.voice.say('critical', `failover of ${this.target} did not end well`, `${message}\n${isResurgoError(error) ? error.hint : ''}`, `failover-${run}`);
        return;
      }
      const text = `the automatic failover failed: ${message}. It is tried again in ${formatDuration(this.deps.config.cooldown)} at the earliest; by hand: resurgo failover ${this.target}`;
      this.voice.fire('primary', { severity: 'critical', name: `failover of ${this.target} failed`, description: message, handled: { by: 'people', text } }, `${this.voice.ruleOf('primary')}/failed`);
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
    this.voice.fire('two primaries', { severity: 'critical', name: `${this.target}: two primaries are suspected`, description: message, handled: { by: 'people', text: `everything stops: ${again.message}. Stop the one that should not be, compare timelines, then resurgo rejoin` } });
  }

  private isBusy = async (): Promise<boolean> => (await Promise.all([lockIds.failover(this.target), lockIds.standby(this.target)].map((id) => this.deps.isRunning(id).catch(() => true)))).includes(true);

  /** Every member, every `every`. */
  private async look(): Promise<void> {
    const { cluster, signal } = this.deps;
    const members = await askAll(cluster, { signal });
    const view: ClusterView = { members, rounds: 1, observedMs: 0, silentRounds: {} };
    const clash = contradiction(view);
    if (clash !== undefined) { await this.stopFor(clash.message); this.voice.sayAll(); return; }
    const [primary] = judge(members).primaries;
    if (primary === undefined) {
      if (!this.automatic) await this.confirmLoss();
      this.voice.sayAll();
      return;
    }
    this.voice.over('two primaries', `${primary.name} is the only primary`);
    this.sawPrimary(primary);
    const connection = cluster.member(primary.name).connection({ timeoutMs: cluster.settings.timeout + 1000, applicationName: 'resurgo-watch' });
    const facts = await replicationFacts(connection, AbortSignal.any([signal, AbortSignal.timeout(cluster.settings.timeout)])).catch(() => undefined);
    signal.throwIfAborted();
    if (facts === undefined) { this.voice.sayAll(); return; }
    const now = (this.at = Date.now());
    const busy = await this.isBusy();
    for (const { name, receiver } of members) if (receiver?.slot != null) this.slots[name] = receiver.slot;
    this.standbys = standbyReports(members, cluster.members.map(({ name, slot }) => ({ name, slot: this.slots[name] ?? slot })), facts, this.samples, now);
    this.repairs.saw(this.standbys, now);
    const well = this.standbys.every((report) => isHealthy(report, this.limits));
    this.state = well ? 'ok' : 'degraded';
    this.detail = this.standbys.filter((report) => !isHealthy(report, this.limits)).map((report) => `${report.name} ${report.state === 'streaming' ? `is ${formatDuration(report.lagMs ?? 0)} and ${formatBytes(report.lagBytes ?? 0)} behind` : report.detail}`).join('; ');
    for (const event of this.rules.judge(this.standbys, now, busy)) this.happened(event);
    await this.repairs.guardSlots(this.standbys, connection);
    const unrepaired = await this.repairs.repair(this.standbys, busy, now);
    if (unrepaired !== undefined) this.detail = `${this.detail}; ${unrepaired}`;
    this.voice.sayAll();
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
      this.voice.say('medium', event === 'firing' ? `${this.target}: standby ${member} is ${behind}` : `${this.target}: standby ${member} has caught up`, event === 'firing' ? `More than ${kind === 'lag' ? formatDuration(this.limits.maxLagMs) : formatBytes(this.limits.maxLagBytes ?? 0)}; above ${formatDuration(this.limits.criticalLagMs)} it is rebuilt${this.deps.config.rebuild ? '' : ' by hand: resurgo standby rebuild'}.` : `It is ${behind} now.`, `${rule.id}-${event}-${String(firedAt)}`);
      return;
    }
    const text = this.repairs.oldPrimaries.has(member) ? `it was a primary and is left alone: resurgo rejoin ${this.target} ${member} --by rewind|clone|keep`
      : this.deps.config.rebuild ? 'the watch starts it again, or rebuilds it' : `by hand: resurgo standby reattach|rebuild ${this.target} ${member}`;
    this.voice.alert({
      target: this.target, member, rule: rule.id, status: event === 'firing' ? 'firing' : 'resolved', severity: rule.severity, firedAt,
      name: kind === 'streams' ? `standby ${member} of ${this.target} is lost` : `standby ${member} of ${this.target} is far behind`, description: kind === 'streams' ? report.detail : behind,
      handled: { by: this.repairs.oldPrimaries.has(member) || !this.deps.config.rebuild ? 'people' : 'watch', text },
      value: kind === 'streams' ? report.state : kind === 'critical' ? Math.round((report.lagMs ?? 0) / 1000) : report.lagBytes, threshold: kind === 'streams' ? 'streaming' : (rule.above ?? null),
    });
  }
}
