/** One run of the incident workflow: its state, the alerts and people that change it, and the flows that go on beside each other. */
import { condition, ParentClosePolicy, patched, setCurrentDetails, startChild, upsertSearchAttributes, uuid4, workflowInfo, getExternalWorkflowHandle, type ChildWorkflowHandle, type Workflow } from '@temporalio/workflow';
import type { Alert } from '../domain/alert.ts';
import { addTimeline, firing, forget, joinIncident, memoryOf, needsApproval, openIncident, remember, resolveAlert, summaryOf, trackedFiring, viewOf, fingerprintIn, rememberMs, budgetPhases, type Attempt, type IncidentRecord, type IncidentState, type IncidentView, type Memory } from '../domain/incident.ts';
import type { IncidentSettings } from '../domain/incident-settings.ts';
import { atLeast } from '../domain/severity.ts';
import { idFromUuid } from '../domain/ids.ts';
import { taskQueues } from '../domain/task-queues.ts';
import { lightOn, local, waiting } from './activity-profiles.ts';
import { factsOf } from './failures.ts';
import { evidenceOf } from '../domain/incident-evidence.ts';
import { endOf, failedEnd, planInput, type PlanEnd } from './incident-plan.ts';
import { Messenger } from './incident-messages.ts';
import { searchAttributes } from './progress.ts';

/** By name: what is started is no part of this file's world. */
const startByName = startChild as unknown as (type: string, options: Record<string, unknown>) => Promise<ChildWorkflowHandle<Workflow>>;

/** A plan that another run of it holds is tried again after this, and so often. */
const busyWaitMs = 20_000;
const mostBusyRounds = 200;

export class IncidentRun {
  readonly memory: Memory;
  record: IncidentRecord | undefined;
  /** The incident before, for those who ask while nothing is open. */
  private last: IncidentRecord | undefined;
  private readonly messenger: Messenger;
  private settings: IncidentSettings | undefined;
  /** Target the settings are for. */
  private preparedFor: string | null = null;
  private child: Promise<PlanEnd> | undefined;
  private leaving = false;

  constructor(state: IncidentState) {
    this.memory = memoryOf(state);
    if (state.current?.resolvedAt === null) this.record = state.current;
    else this.last = state.current;
    this.messenger = new Messenger((text) => { this.tell('message', text); });
  }

  view(): IncidentView | null {
    const record = this.record ?? this.last;
    return record === undefined ? null : viewOf(record, this.memory, workflowInfo().workflowId);
  }

  /** For the next run of this workflow. */
  state(): IncidentState {
    const current = this.record ?? this.last;
    return { schemaVersion: 1, ...this.memory, ...(current === undefined ? {} : { current }) };
  }

  private get now(): string {
    return new Date().toISOString();
  }

  tell(event: string, text: string): void {
    const record = this.record ?? this.last;
    if (record !== undefined) addTimeline(record, this.now, event, text);
    this.show();
  }

  /** Rules of a later version: runs that older ones began go on by theirs. */
  private get later(): boolean {
    return patched('incident-rules-by-plan');
  }

  /** Alerts of one delivery. Known ones are counted and change nothing. Whether it is over is seen when all are taken: one may end while another begins. */
  take(alerts: readonly Alert[]): void {
    const { later } = this;
    let ended = false;
    for (const alert of alerts) {
      const fresh = remember(this.memory, alert, Date.now());
      // What is resolved already takes no more alerts: they open the next incident.
      const record = later && this.record?.resolvedAt !== null ? undefined : this.record;
      if (alert.status === 'resolved') {
        ended = this.takeResolved(alert) || ended;
        if (ended && !later) this.settle('the alert ended');
      } else if (!fresh && (record !== undefined || !later || !this.goesOn(alert))) { if (record !== undefined) record.repeats++; }
      else if (record !== undefined) this.join(record, alert);
      else if (this.record !== undefined || Date.now() < this.memory.cooldownUntil) {
        this.memory.pending = [...this.memory.pending.filter((each) => each.identity !== alert.identity), alert].slice(-100);
      } else this.open(alert);
    }
    if (ended && later) this.settle('the alert ended');
    this.show();
  }

  /** A person said that it was over, and the sender still says that it is not. */
  private goesOn({ identity }: Alert): boolean {
    const last = this.record ?? this.last;
    const known = last !== undefined && Object.hasOwn(last.alerts, identity) ? last.alerts[identity] : undefined;
    return known?.status === 'firing' && known.tracks;
  }

  private takeResolved(alert: Alert): boolean {
    this.memory.pending = this.memory.pending.filter((each) => each.identity !== alert.identity);
    return this.record !== undefined && resolveAlert(this.record, alert, this.now);
  }

  private open(alert: Alert): void {
    this.record = openIncident(fingerprintIn(workflowInfo().workflowId), alert, this.now);
    this.messenger.say({ event: 'detected', text: `${alert.type} incident detected: ${alert.name}${alert.description === alert.name ? '' : `: ${alert.description.slice(0, 300)}`}` });
  }

  private join(record: IncidentRecord, alert: Alert): void {
    const { severity } = record;
    joinIncident(record, alert, this.now);
    if (record.severity !== severity) this.messenger.say({ event: 'detected', text: `severity is now ${record.severity}: ${alert.name}` });
    else this.messenger.say({ event: 'joined', text: `joined by ${alert.name}` });
    // A plan that only this alert's rule names is tried too, when those before it have not helped.
    const untried = record.candidates.length > 0 || (record.plans !== null && record.attempts.length === 0);
    if (record.stage === 'people' && (this.later ? record.stoppedBy === null && untried : record.candidates.length > 0 && record.attempts.length === 0)) record.stage = 'decide';
    if (alert.handled?.by === 'people' && record.stage === 'idle') record.stage = 'decide';
  }

  /** Over, when nothing fires any more and no plan is at work. */
  private settle(why: string): void {
    const { record } = this;
    if (record === undefined || record.running !== null || record.stage === 'start' || firing(record).length > 0) return;
    this.resolve(why);
  }

  resolve(why: string): void {
    const { record } = this;
    if (record?.resolvedAt !== null) return;
    record.resolvedAt = this.now;
    record.resolution = why;
    record.status = 'resolved';
    record.approval = null;
    addTimeline(record, this.now, 'resolved', why);
    this.messenger.say({ event: 'resolved', text: `resolved: ${why}` });
    this.show();
  }

  /** Lives through one incident, or through the silence after the last; what follows is a new run with {@link state}. False: there is nothing left to remember. */
  async live(): Promise<boolean> {
    if (this.record === undefined && !(await this.untilOpened())) return false;
    const record = this.record as unknown as IncidentRecord;
    this.show();
    const settings = await local.prepareIncident({ type: record.type, service: record.service, target: record.target });
    this.settings = settings;
    this.preparedFor = record.target;
    if (settings.searchAttributes) upsertSearchAttributes([{ key: searchAttributes.operation, value: 'incident' }, { key: searchAttributes.target, value: (record.target ?? record.service).slice(0, 200) }, { key: searchAttributes.outcome, value: 'open' }]);
    const over = (): boolean => this.leaving || record.resolvedAt !== null;
    const flows = [this.recover(record), this.escalate(record, settings, over)];
    // Beside a plan that a rule names the damage is assessed for the report: the plan does not wait for it.
    if (record.target !== null && settings.isTarget && record.damage === null && record.plans === null && record.budgets.length === 0) flows.push(this.assess(record, settings));
    const talking = settings.channels === 0 ? Promise.resolve() : this.messenger.run(record, settings.gatherMs, () => this.leaving);
    await condition(() => record.resolvedAt !== null || workflowInfo().continueAsNewSuggested);
    // The flows stop where they can go on from in the next run.
    if (record.resolvedAt === null) this.leaving = true;
    await Promise.all(flows);
    if (record.resolvedAt !== null) {
      this.close(record, settings);
      this.leaving = true;
      await Promise.all([talking, this.keep(record)]);
      return true;
    }
    await talking;
    return true;
  }

  /** Histories go, evidence stays. A repository that is away does not hold up the next incident for ever. */
  private async keep(record: IncidentRecord): Promise<void> {
    if (patched('incident-evidence-apart')) {
      // The next incident must not wait for a repository that is away.
      await startByName('keepEvidence', {
        workflowId: `evidence/${record.id}`, taskQueue: taskQueues.main, args: [evidenceOf(record)], staticSummary: `keep the record of incident ${record.id}`.slice(0, 200), parentClosePolicy: ParentClosePolicy.ABANDON,
      }).catch((error: unknown) => { addTimeline(record, this.now, 'evidence', `the record could not be kept: ${factsOf(error).message}`); });
      return;
    }
    try {
      await lightOn(null, 'keep the record of the incident in the repositories', { scheduleToCloseTimeout: '10 minutes' }).recordEvidence({ document: evidenceOf(record) });
    } catch (error) {
      addTimeline(record, this.now, 'evidence', `the record could not be kept: ${factsOf(error).message}`);
    }
  }

  private close(record: IncidentRecord, settings: IncidentSettings): void {
    this.memory.cooldownUntil = Date.now() + settings.cooldownMs;
    this.memory.previous = [summaryOf(record), ...this.memory.previous].slice(0, 10);
    forget(this.memory, Date.now(), settings.windowMs);
    if (settings.searchAttributes) upsertSearchAttributes([{ key: searchAttributes.outcome, value: 'resolved' }]);
    this.last = record;
    this.record = undefined;
  }

  /** Nothing is open. False when all that was to be remembered may be forgotten. */
  private async untilOpened(): Promise<boolean> {
    for (;;) {
      if (this.record !== undefined) return true;
      const waitMs = this.memory.pending.length > 0 ? this.memory.cooldownUntil - Date.now() : this.untilForgotten();
      if (waitMs <= 0) {
        const [first, ...others] = this.memory.pending.splice(0);
        if (first === undefined) return false;
        this.open(first);
        for (const alert of others) this.join(this.record as unknown as IncidentRecord, alert);
        return true;
      }
      const { length } = this.memory.pending;
      await condition(() => this.record !== undefined || this.memory.pending.length !== length, waitMs);
    }
  }

  private untilForgotten(): number {
    if (this.memory.disarmed) return rememberMs;
    return Math.max(this.memory.cooldownUntil, ...Object.values(this.memory.seen).map((at) => at + rememberMs)) - Date.now();
  }

  /** Whether somebody has moved it on while something was waited for. */
  private isPast(stage: IncidentRecord['stage'], record: IncidentRecord): boolean {
    return this.later && (record.stage !== stage || this.leaving || record.resolvedAt !== null);
  }

  /** From deciding to the end, whatever stage it was in. */
  private async recover(record: IncidentRecord): Promise<void> {
    while (!this.leaving && record.resolvedAt === null) {
      const settings = await this.settingsFor(record);
      switch (record.stage) {
        case 'decide':
          await this.decide(record, settings);
          break;
        case 'approval':
          await this.awaitApproval(record);
          break;
        case 'start':
          await this.start(record, settings);
          break;
        case 'running':
          await this.awaitPlan(record, settings);
          break;
        case 'confirm':
          await this.confirm(record, settings);
          break;
        default:
          await condition(() => this.leaving || record.resolvedAt !== null || (record.stage !== 'people' && record.stage !== 'idle'));
      }
    }
  }

  /** An alert that joined may have told which target it is about. */
  private async settingsFor(record: IncidentRecord): Promise<IncidentSettings> {
    if (this.settings === undefined || (record.target !== this.preparedFor && this.later)) {
      const { target } = record;
      this.settings = await local.prepareIncident({ type: record.type, service: record.service, target });
      this.preparedFor = target;
    }
    return this.settings;
  }

  private async decide(record: IncidentRecord, settings: IncidentSettings): Promise<void> {
    record.status = 'investigating';
    this.show();
    const wanted = record.retried != null;
    if (this.memory.disarmed && !wanted) {
      this.toPeople(record, `automatic recovery of ${record.service} is stopped after ${String(this.memory.failures.length)} failed recoveries; \`resurgo incident rearm ${record.id}\` starts it again`);
      return;
    }
    if (record.handled !== undefined && record.candidates.length === 0 && record.attempts.length === 0 && record.plans === null) {
      if (record.handled.by === 'people') this.toPeople(record, record.handled.text);
      else {
        record.status = 'mitigating';
        record.stage = 'idle';
        addTimeline(record, this.now, 'started', record.handled.text);
        this.messenger.say({ event: 'started', text: record.handled.text });
        this.show();
      }
      return;
    }
    if (record.candidates.length === 0 && record.attempts.length === 0 && record.plans === null && settings.fallback.plan !== null) {
      record.candidates.push(settings.fallback.plan);
      addTimeline(record, this.now, 'decided', settings.fallback.why);
    }
    if (record.candidates.length === 0 && record.attempts.length === 0 && record.plans !== null) await this.chooseByDamage(record, settings);
    // Somebody may have stopped it meanwhile.
    if (this.isPast('decide', record)) return;
    for (const plan of record.candidates.filter((name) => !settings.plans.includes(name))) addTimeline(record, this.now, 'decided', `the configuration has no plan ${plan}`);
    const unknown = record.candidates.filter((name) => !settings.plans.includes(name));
    record.candidates = record.candidates.filter((name) => settings.plans.includes(name));
    const [next] = record.candidates;
    if (next === undefined) {
      if (record.attempts.length > 0) this.exhausted(record);
      else this.toPeople(record, unknown.length > 0 ? `no plan could be run: the configuration has no plan ${unknown.join(', ')}` : `nothing is run: ${settings.fallback.why}`);
      return;
    }
    const by = record.retried?.plans.includes(next) === true && !settings.provedApprovals ? [record.retried.by] : [];
    if (!needsApproval(this.later ? record : { ...record, approvalRules: {} }, next, settings.approval)) record.stage = 'start';
    else {
      const hash = await this.previewHash(record, next);
      if (this.leaving || record.resolvedAt !== null || this.isPast('decide', record)) return;
      record.approval = { plan: next, since: this.now, until: new Date(Date.now() + settings.approvalMs).toISOString(), needed: settings.approvers, by, hash };
      record.stage = 'approval';
      addTimeline(record, this.now, 'approval', `plan ${next} waits for ${String(settings.approvers)} approval(s)`);
      if (by.length < settings.approvers) this.messenger.say({ event: 'approval', text: `approval wanted: plan ${next} waits for ${settings.approvers === 1 ? 'a person' : `${String(settings.approvers)} persons`}: resurgo incident approve ${record.id}${hash === null ? '' : ` --hash ${hash.slice(0, 12)}`}` });
    }
  }

  /** The damage decides between the plans a rule gives for it; what cannot be assessed in time is partial damage. */
  private async chooseByDamage(record: IncidentRecord, settings: IncidentSettings): Promise<void> {
    if (record.scenario === null) await this.assess(record, settings);
    const scenario = record.scenario ?? record.damage?.scenario ?? 'partial';
    const chosen = record.plans?.[scenario] ?? [];
    record.candidates.push(...chosen);
    addTimeline(record, this.now, 'decided', `strategy ${scenario}${record.scenario === null ? '' : ' (named by the operator)'}: ${chosen.join(', ') || 'no plan is given for it'}`);
  }

  private async assess(record: IncidentRecord, settings: IncidentSettings): Promise<void> {
    const begun = Date.now();
    try {
      const damage = await lightOn(null, 'assess the damage', { scheduleToCloseTimeout: settings.assessMs, retry: { maximumAttempts: 2 } }).assessDamage({ target: record.target, service: record.service, type: record.type });
      record.damage = damage;
      addTimeline(record, this.now, 'assessed', `${damage.scenario}: ${damage.why}`);
    } catch (error) {
      addTimeline(record, this.now, 'assessed', `the damage could not be assessed: ${factsOf(error).message}`);
    }
    const tookMs = Date.now() - begun;
    record.budgets.push({ phase: 'assess', budgetMs: settings.budgets.assess, tookMs, within: tookMs <= settings.budgets.assess });
    this.show();
  }

  /** Of the preview people approve; null when it could not be made, which is told. */
  private async previewHash(record: IncidentRecord, plan: string): Promise<string | null> {
    try {
      return (await lightOn(null, `preview of plan ${plan}`, { retry: { maximumAttempts: 2 } }).previewRecover(planInput(record, plan, this.settings?.isTarget === true))).hash;
    } catch (error) {
      addTimeline(record, this.now, 'preview', `plan ${plan}: ${factsOf(error).message}`);
      return null;
    }
  }

  private async awaitApproval(record: IncidentRecord): Promise<void> {
    const { approval } = record;
    if (approval === null) { record.stage = 'decide'; return; }
    const answered = (): boolean => record.stage !== 'approval' || approval.by.length >= approval.needed;
    const left = Date.parse(approval.until) - Date.now();
    if (left > 0 && !answered()) await condition(() => this.leaving || record.resolvedAt !== null || answered(), left);
    if (this.leaving || record.resolvedAt !== null || record.stage !== 'approval') return;
    if (answered()) {
      // What was approved is what is run: a plan that was changed meanwhile is shown again.
      const hash = await this.previewHash(record, approval.plan);
      if (this.isPast('approval', record)) return;
      if (hash !== approval.hash) {
        addTimeline(record, this.now, 'approval', `plan ${approval.plan} is not what was approved any more; it is asked again`);
        record.approval = null;
        record.stage = 'decide';
        return;
      }
      record.stage = 'start';
      addTimeline(record, this.now, 'approved', `plan ${approval.plan} by ${approval.by.join(', ')}`);
      record.approval = null;
    } else if (Date.now() >= Date.parse(approval.until)) {
      record.approval = null;
      this.toPeople(record, `nobody approved plan ${approval.plan} in time; it was not run`);
    }
  }

  private async start(record: IncidentRecord, settings: IncidentSettings): Promise<void> {
    const plan = record.candidates.shift();
    if (plan === undefined) { record.stage = 'decide'; return; }
    const run = `plan/${plan}/${idFromUuid(uuid4())}`;
    record.running = { plan, run, startedAt: this.now };
    record.status = 'mitigating';
    record.stage = 'running';
    addTimeline(record, this.now, 'started', `plan ${plan} (${run})`);
    this.messenger.say({ event: 'started', text: `plan ${plan} started` });
    this.show();
    try {
      const child = await startByName('recover', {
        workflowId: run,
        taskQueue: taskQueues.main,
        args: [planInput(record, plan, this.settings?.isTarget === true)],
        staticSummary: `plan ${plan} for incident ${record.id}`.slice(0, 200),
        parentClosePolicy: ParentClosePolicy.ABANDON,
      });
      this.child = child.result().then(endOf, failedEnd);
    } catch (error) {
      this.ended(record, settings, failedEnd(error));
    }
  }

  private async awaitPlan(record: IncidentRecord, settings: IncidentSettings): Promise<void> {
    const { running } = record;
    if (running === null) { record.stage = 'decide'; return; }
    // In a later run of this workflow it is no child any more: an activity waits for it.
    this.child ??= waiting(`wait for ${running.run}`).planOutcome({ run: running.run }).then(endOf, failedEnd);
    let end: PlanEnd | undefined;
    void this.child.then((value) => { end = value; });
    await condition(() => this.leaving || end !== undefined);
    if (end !== undefined) {
      this.child = undefined;
      this.ended(record, settings, end);
    }
  }

  private ended(record: IncidentRecord, settings: IncidentSettings, end: PlanEnd): void {
    const { running } = record;
    if (running === null) return;
    record.running = null;
    const attempt: Attempt = { plan: running.plan, run: running.run, startedAt: running.startedAt, endedAt: this.now, status: end.status, detail: end.detail.slice(0, 500), ...(end.busy === true ? { busy: true } : {}) };
    record.attempts.push(attempt);
    const tookS = ((Date.parse(this.now) - Date.parse(running.startedAt)) / 1000).toFixed(1);
    addTimeline(record, this.now, end.ok ? 'completed' : 'failed', `plan ${running.plan}: ${end.status} after ${tookS} s${end.detail === '' ? '' : `: ${end.detail}`}`);
    for (const { name, durationMs } of end.budgets) {
      const phase = budgetPhases.find((each) => each === name);
      if (phase !== undefined) record.budgets.push({ phase, budgetMs: settings.budgets[phase], tookMs: durationMs, within: durationMs <= settings.budgets[phase] });
    }
    if (record.stoppedBy !== null) {
      this.toPeople(record, `plan ${running.plan} was stopped by ${record.stoppedBy}: ${end.status}`);
      return;
    }
    if (!end.ok) {
      this.messenger.say({ event: 'failed', text: `plan ${running.plan} ${end.status}${end.detail === '' ? '' : `: ${end.detail.slice(0, 300)}`}` });
      this.failed(record, settings);
      return;
    }
    this.messenger.say({ event: 'completed', text: end.busy === true ? `plan ${running.plan} runs already; waiting for what it does` : `plan ${running.plan} completed after ${tookS} s` });
    const still = trackedFiring(record);
    if (still.length === 0 && end.busy === true && firing(record).length > 0) this.toPeople(record, `another run of plan ${running.plan} goes on, and nothing tells when the alert ends`);
    else if (still.length === 0) this.resolve(`plan ${running.plan} completed`);
    else {
      record.stage = 'confirm';
      record.confirmUntil = new Date(Date.now() + (this.later && end.busy === true ? Math.min(settings.confirmMs, busyWaitMs) : settings.confirmMs)).toISOString();
    }
    this.show();
  }

  /** The plan is through; is what was wrong over too? */
  private async confirm(record: IncidentRecord, settings: IncidentSettings): Promise<void> {
    const until = Date.parse(record.confirmUntil ?? this.now);
    const left = until - Date.now();
    if (left > 0) await condition(() => this.leaving || record.resolvedAt !== null || record.stage !== 'confirm', left);
    if (this.leaving || record.resolvedAt !== null || record.stage !== 'confirm' || Date.now() < until) return;
    record.confirmUntil = null;
    const last = record.attempts.pop();
    if (this.later && last?.busy === true && (record.busyRounds ?? 0) < mostBusyRounds) {
      // What another run of the plan did has not helped here: it is this incident's turn, as soon as that run is over.
      record.busyRounds = (record.busyRounds ?? 0) + 1;
      record.candidates.unshift(last.plan);
      record.stage = 'decide';
      return;
    }
    if (last !== undefined) record.attempts.push({ ...last, status: 'completed, but the alert goes on' });
    this.messenger.say({ event: 'failed', text: `plan ${last?.plan ?? ''} completed, but ${[...new Set(trackedFiring(record))].slice(0, 5).join(', ')} still fires` });
    addTimeline(record, this.now, 'failed', 'the alert goes on after the plan');
    this.failed(record, settings);
  }

  /** A recovery that did not help. */
  private failed(record: IncidentRecord, settings: IncidentSettings): void {
    this.memory.failures = [...this.memory.failures.filter((at) => Date.now() - at < settings.windowMs), Date.now()];
    if (!this.memory.disarmed && this.memory.failures.length >= settings.maxFailures) {
      this.memory.disarmed = true;
      addTimeline(record, this.now, 'disarmed', `${String(this.memory.failures.length)} failed recoveries of ${record.service} in ${String(Math.round(settings.windowMs / 60_000))} min: none runs by itself any more`);
    }
    if (firing(record).length === 0) this.resolve(`the alert ended, though plan ${record.attempts.at(-1)?.plan ?? ''} failed`);
    else if (record.candidates.length > 0 && !this.memory.disarmed) record.stage = 'decide';
    else this.exhausted(record);
    this.show();
  }

  private exhausted(record: IncidentRecord): void {
    record.severity = 'critical';
    this.toPeople(record, `automatic means are exhausted; tried: ${record.attempts.map((attempt) => `${attempt.plan} (${attempt.status})`).join(', ') || 'nothing'}${this.memory.disarmed ? `; automatic recovery of ${record.service} is stopped until \`resurgo incident rearm\`` : ''}`);
  }

  /** From here on people do it; the incident stays open, and escalates until one of them says so. */
  private toPeople(record: IncidentRecord, why: string): void {
    record.stage = 'people';
    record.retried = null;
    record.status = 'investigating';
    addTimeline(record, this.now, 'handover', why);
    this.messenger.say({ event: 'handover', text: `handed over to people: ${why}` });
    this.ticket(record);
    this.show();
  }

  private ticket(record: IncidentRecord): void {
    if (record.ticketed) return;
    record.ticketed = true;
    this.messenger.say({ event: 'ticket', text: `ticket: ${record.service}: ${record.name}` });
  }

  private async escalate(record: IncidentRecord, settings: IncidentSettings, over: () => boolean): Promise<void> {
    for (;;) {
      const step = settings.escalation[record.escalated];
      if (step === undefined || over() || record.acknowledged !== null) return;
      const left = Date.parse(record.openedAt) + step.afterMs - Date.now();
      if (left > 0) {
        await condition(() => over() || record.acknowledged !== null, left);
        continue;
      }
      record.escalated++;
      if (step.minSeverity !== undefined && !atLeast(record.severity, step.minSeverity)) continue;
      addTimeline(record, this.now, 'escalated', `${step.level}: ${step.notify.join(', ')}`);
      this.messenger.say({ event: 'escalated', text: step.afterMs === 0 ? `for ${step.level}` : `nobody has acknowledged it for ${String(Math.round(step.afterMs / 60_000))} min: escalated to ${step.level}`, to: step.notify });
      if (step.afterMs > 0) this.ticket(record);
    }
  }

  acknowledge(by: string): void {
    const { record } = this;
    if (record === undefined) return;
    record.acknowledged ??= { by, at: this.now };
    addTimeline(record, this.now, 'acknowledged', by);
    this.messenger.say({ event: 'acknowledged', text: `acknowledged by ${by}` });
    this.show();
  }

  get provedApprovals(): boolean {
    return this.settings?.provedApprovals ?? false;
  }

  approve(by: string): void {
    const approval = this.record?.approval;
    if (approval != null && !approval.by.includes(by)) approval.by.push(by);
    this.show();
  }

  /** Stops what is automatic: a running plan is cancelled (and compensates), and no other is started. */
  async abort(by: string, note: string): Promise<void> {
    const { record } = this;
    if (record === undefined) return;
    record.candidates = [];
    record.approval = null;
    record.stoppedBy = by;
    addTimeline(record, this.now, 'aborted', `by ${by}${note === '' ? '' : `: ${note}`}`);
    if (record.running === null) this.toPeople(record, `stopped by ${by}`);
    else await getExternalWorkflowHandle(record.running.run).cancel();
  }

  retry(by: string, plan: string | undefined): void {
    const { record } = this;
    if (record === undefined) return;
    const again = plan === undefined ? [...new Set([...record.candidates, ...record.attempts.map((attempt) => attempt.plan)])] : [plan];
    record.candidates = again;
    record.approval = null;
    record.stoppedBy = null;
    if (this.later) record.retried = { by, plans: again };
    else record.approvalRule = 'never';
    addTimeline(record, this.now, 'retry', `by ${by}: ${again.join(', ') || 'as the rules say'}`);
    // A person wants it: that automatic runs are stopped does not count.
    record.stage = again.length === 0 || this.later ? 'decide' : 'start';
    this.show();
  }

  rearm(by: string): void {
    this.memory.disarmed = false;
    this.memory.failures = [];
    this.tell('re-armed', by);
  }

  get planNames(): readonly string[] {
    return this.settings?.plans ?? [];
  }

  private show(): void {
    const record = this.record ?? this.last;
    if (record === undefined) return;
    const lines = record.timeline.slice(-15).map((entry) => `- ${entry.at.slice(11, 19)} **${entry.event}** ${entry.text}`);
    setCurrentDetails(`**${record.severity} ${record.type} incident of ${record.service}: ${record.status}**\n\n${record.description.slice(0, 500)}\n\n${lines.join('\n')}`);
  }
}
