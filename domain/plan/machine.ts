/**
 * The plan interpreter: a pure state machine, `next(snapshot, state, event) → state, commands` (decision 10). No clock, no I/O: time comes with
 * the events. Two drivers carry the commands out: Temporal (workflows/plan-run.workflow.ts) and a local journal (client/plan/journal-driver.ts).
 *
 * Rules that must hold, and are tested as properties: a step starts only when what it needs has ended; compensation is registered before its step
 * is applied, and undone in reverse; once a point of no return may have been passed nothing from before it is undone; an event that answers
 * nothing awaited changes nothing; whatever happens, the plan ends.
 */
import { refuse, type ControlEvent } from './control.ts';
import type { PlanError, PlanSnapshot, StepSpec } from './model.ts';
import { statusOf } from './outcome.ts';
import { resolvedUse, useOf } from './uses.ts';
import type { Next, PlanCommand, PlanEvent, PlanState, StepPhase, StepState, UndoEntry } from './state.ts';

/** How often an irreversible action is tried again after a lost attempt that is proved to have done nothing. */
const lostTries = 3;
const probeMs = 120_000;
const undoMs = 600_000;

export function initialState(snapshot: PlanSnapshot): PlanState {
  const steps: Record<string, StepState> = {};
  for (const { id } of snapshot.steps) steps[id] = freshStep();
  return { status: 'created', stage: 'created', mode: 'graceful', paused: null, held: null, steps, undo: [], passed: null, failure: null, warnings: [], startedAt: 0, decisions: [] };
}

const freshStep = (): StepState => ({ status: 'pending', round: 0, variant: 'main', attempts: 0, applied: 'no', remarks: [], approvals: [], lost: 0 });

/** Folds one event. The state given is not changed. */
export function next(snapshot: PlanSnapshot, state: PlanState, event: PlanEvent): Next {
  if (state.stage === 'ended') return { state, commands: [] };
  const machine = new Machine(snapshot, JSON.parse(JSON.stringify(state)) as PlanState, event.at);
  machine.take(event);
  return { state: machine.state, commands: machine.commands };
}

/** The key of the phase a step is in now. */
export const keyOf = (step: string, { variant, round, phase }: Pick<StepState, 'variant' | 'round' | 'phase'>): string => `${step}#${variant}#${String(round)}#${phase ?? ''}`;

class Machine {
  readonly commands: PlanCommand[] = [];
  readonly state: PlanState;
  private readonly snapshot: PlanSnapshot;
  private readonly at: number;

  constructor(snapshot: PlanSnapshot, state: PlanState, at: number) {
    this.snapshot = snapshot;
    this.state = state;
    this.at = at;
  }

  take(event: PlanEvent): void {
    const { state } = this;
    if (event.type === 'start') {
      if (state.stage !== 'created') return;
      Object.assign(state, { stage: 'forward', mode: event.mode, startedAt: event.at });
    } else if (state.stage === 'created') return;
    else if ('key' in event) this.answer(event);
    else this.control(event);
    this.advance();
    state.status = statusOf(this.snapshot, state);
  }

  private spec(id: string): StepSpec {
    return this.snapshot.steps.find((step) => step.id === id) as StepSpec;
  }

  private step(id: string): StepState | undefined {
    return Object.hasOwn(this.state.steps, id) ? this.state.steps[id] : undefined;
  }

  // --- what a driver reports

  private answer(event: Extract<PlanEvent, { key: string }>): void {
    if (event.key.startsWith('undo#')) {
      this.undoAnswered(event);
      return;
    }
    if (event.key.startsWith('held#')) {
      const { held } = this.state;
      const failure = heldFailure(this.state);
      if (event.type === 'expired' && held !== null && failure !== null && event.key === heldKey(held))
        this.stop({ ...failure, error: { ...failure.error, message: `${failure.error.message}; nobody decided what to do in time` } });
      return;
    }
    const id = event.key.slice(0, event.key.indexOf('#'));
    const step = this.step(id);
    if (step?.status !== 'in progress' || step.phase === undefined || keyOf(id, step) !== event.key) return;
    const { phase } = step;
    switch (event.type) {
      case 'resolved':
        if (phase === 'resolve') this.resolved(id, step, event.resolved);
        return;
      case 'notNeeded':
        if (phase === 'resolve') this.settle(step, 'skipped', { reason: event.reason });
        return;
      case 'prepared':
        if (phase !== 'prepare') return;
        step.captured = event.captured;
        step.remarks.push(...event.remarks);
        if (this.state.stage === 'forward') this.apply(id, step);
        return;
      case 'expired':
        if (phase === 'approval') this.approvalExpired(id, step);
        else if (phase === 'apply' && step.resolved?.timerMs !== undefined) this.applied(id, step, 'waited', {});
        return;
      case 'applied':
        if (phase === 'apply') this.applied(id, step, event.summary, event.output);
        return;
      case 'probed':
        if (phase === 'probe') this.probed(id, step, event.answer);
        return;
      case 'verified':
        step.remarks.push(event.summary);
        if (phase === 'verify' && this.spec(id).verify !== undefined && step.variant === 'main') this.enter(id, step, 'confirm');
        else if (phase === 'verify' || phase === 'confirm') this.settle(step, 'completed');
        return;
      case 'phaseFailed':
        this.phaseFailed(id, step, phase, event.error, event.outcome);
        return;
      default:
        return;
    }
  }

  private enter(id: string, step: StepState, phase: StepPhase): void {
    step.phase = phase;
    const use = useOf(this.spec(id), step.variant);
    if (phase === 'approval' || phase === 'ask') return;
    if (phase === 'resolve') step.deadlineAt = this.at + use.timeoutMs;
    const confirm = phase === 'confirm' ? this.spec(id).verify : undefined;
    const deadlineAt = confirm !== undefined ? this.at + confirm.timeoutMs : phase === 'probe' ? this.at + probeMs : Math.max(step.deadlineAt ?? 0, this.at + 1000);
    this.commands.push({ type: phase, key: keyOf(id, step), step: id, variant: step.variant, deadlineAt });
  }

  private timer(id: string, step: StepState, ms: number): void {
    step.timerAt = this.at + ms;
    this.commands.push({ type: 'timer', key: keyOf(id, step), step: id, at: step.timerAt });
  }

  private resolved(id: string, step: StepState, resolved: NonNullable<StepState['resolved']>): void {
    step.resolved = resolved;
    const { approval } = this.spec(id);
    if (approval !== undefined && step.variant === 'main' && this.approved(id, step).length < approval.count) {
      step.phase = 'approval';
      this.timer(id, step, approval.withinMs);
    } else this.begin(id, step);
  }

  private begin(id: string, step: StepState): void {
    if (this.spec(id).childPlan !== undefined) {
      this.settle(step, 'completed');
      return;
    }
    step.deadlineAt = this.at + useOf(this.spec(id), step.variant).timeoutMs;
    if (step.resolved?.abilities.prepare === true) this.enter(id, step, 'prepare');
    else this.apply(id, step);
  }

  /** Registers how it is undone, then has it done. */
  private apply(id: string, step: StepState): void {
    const spec = this.spec(id);
    const resolved = resolvedUse(step);
    const undoable = spec.compensate === undefined ? resolved.abilities.compensate || resolved.child?.compensate !== undefined : spec.compensate !== false;
    if (undoable && resolved.abilities.effect !== 'none' && this.state.passed === null && !this.state.undo.some((entry) => entry.step === id && entry.variant === step.variant && entry.status === 'registered')) {
      this.state.undo.push({ step: id, variant: step.variant, resolved, status: 'registered', ...(step.captured === undefined ? {} : { captured: step.captured }) });
    }
    if (resolved.abilities.effect !== 'none') step.applied = 'maybe';
    step.attempts++;
    step.phase = 'apply';
    if (resolved.timerMs === undefined) this.enter(id, step, 'apply');
    else this.timer(id, step, resolved.timerMs);
  }

  private applied(id: string, step: StepState, summary: string, output: StepState['output'] | undefined): void {
    const { abilities } = resolvedUse(step);
    if (abilities.effect !== 'none') step.applied = 'yes';
    step.summary = summary;
    if (output !== undefined) step.output = output;
    if (this.spec(id).pointOfNoReturn) this.pass(id);
    if (this.state.stage !== 'forward') {
      step.remarks.push('not verified: the plan was being stopped');
      this.settle(step, 'completed');
    } else if (abilities.verify) this.enter(id, step, 'verify');
    else if (this.spec(id).verify !== undefined && step.variant === 'main') this.enter(id, step, 'confirm');
    else this.settle(step, 'completed');
  }

  /** After it nothing from before may be undone: DNS must not go back to a fenced primary. */
  private pass(id: string): void {
    if (this.state.passed !== null) return;
    this.state.passed = id;
    for (const entry of this.state.undo) if (entry.status === 'registered') Object.assign(entry, { status: 'void', detail: `lies behind the point of no return ${id}` });
  }

  private probed(id: string, step: StepState, answer: 'applied' | 'notApplied' | 'unknown'): void {
    if (answer === 'applied' && step.error !== undefined && step.error.code !== 'outcomeUnknown') {
      // The action itself said that it failed: that it has taken effect makes it no success, but something to undo.
      step.applied = 'yes';
      if (this.spec(id).pointOfNoReturn) this.pass(id);
      this.fail(id, step, step.error);
      return;
    }
    if (answer === 'applied') {
      this.applied(id, step, step.summary ?? 'took effect, though its end was not seen', undefined);
      return;
    }
    if (answer === 'unknown') {
      this.unknown(id, step);
      return;
    }
    this.tookNoEffect(id, step);
    if (step.error?.code === 'outcomeUnknown' && step.lost < lostTries && this.state.stage === 'forward') {
      step.lost++;
      step.round++;
      delete step.error;
      this.apply(id, step);
    } else this.fail(id, step, step.error ?? { code: 'outcomeUnknown', message: 'it took no effect' });
  }

  private tookNoEffect(id: string, step: StepState): void {
    step.applied = 'no';
    for (const entry of this.state.undo) if (entry.step === id && entry.variant === step.variant && entry.status === 'registered') Object.assign(entry, { status: 'not needed', detail: 'took no effect' });
  }

  private unknown(id: string, step: StepState): void {
    const error = step.error ?? { code: 'outcomeUnknown', message: 'its outcome is not known' };
    step.error = { ...error, code: 'outcomeUnknown' };
    if (this.state.stage !== 'forward') {
      this.settle(step, 'unknown');
    } else if (!this.spec(id).critical) {
      this.settle(step, 'unknown');
      this.state.warnings.push(`${id}: outcome unknown: ${error.message}`);
    } else {
      step.phase = 'ask';
      this.hold(id, 'unknown');
    }
  }

  private phaseFailed(id: string, step: StepState, phase: StepPhase, error: PlanError, outcome: 'lost' | 'refused' | 'failed'): void {
    step.error = error;
    if (phase === 'probe') {
      this.unknown(id, step);
      return;
    }
    if (phase !== 'apply') {
      this.fail(id, step, error);
      return;
    }
    const { effect, probe } = resolvedUse(step).abilities;
    if (effect === 'none') this.fail(id, step, error);
    else if (outcome === 'refused') {
      this.tookNoEffect(id, step);
      this.fail(id, step, error);
    } else if (effect === 'irreversible' && probe) this.enter(id, step, 'probe');
    else if (effect === 'irreversible' && outcome === 'lost') this.unknown(id, step);
    else this.fail(id, step, error);
  }

  // --- how a step ends

  private settle(step: StepState, status: StepState['status'], more: { reason?: string } = {}): void {
    step.status = status;
    step.endedAt = this.at;
    delete step.phase;
    Object.assign(step, more);
  }

  private fail(id: string, step: StepState, error: PlanError): void {
    const spec = this.spec(id);
    step.error = error;
    const forward = this.state.stage === 'forward';
    // What people refused, or nobody approved in time, is not done another way.
    if (forward && step.phase !== 'approval' && step.variant === 'main' && spec.fallback !== undefined && !(spec.pointOfNoReturn && step.applied !== 'no')) {
      step.remarks.push(`${error.message}; the fallback ${spec.fallback.uses} is used`);
      step.variant = 'fallback';
      step.round++;
      delete step.captured;
      this.enter(id, step, 'resolve');
      return;
    }
    this.settle(step, 'failed');
    if (!forward) return;
    if (!spec.critical) {
      this.state.warnings.push(`${id}: ${error.message}`);
      return;
    }
    const onlyForward = this.state.passed !== null || this.snapshot.steps.some((each) => each.pointOfNoReturn && this.state.steps[each.id]?.applied !== 'no');
    if (onlyForward || this.snapshot.onFailure === 'pause') this.hold(id, 'failed');
    else this.stop({ step: id, error });
  }

  // --- people

  private control(event: ControlEvent): void {
    const { state } = this;
    if (refuse(this.snapshot, state, event) !== undefined) return;
    const by = 'by' in event ? event.by : event.as;
    state.decisions.push({ at: this.at, what: event.type === 'answer' ? `answer: ${event.answer}` : event.type === 'mode' ? `mode: ${event.mode}` : event.type, by, ...('step' in event ? { step: event.step } : {}) });
    switch (event.type) {
      case 'pause':
        state.paused = { by };
        return;
      case 'resume':
        state.paused = null;
        return;
      case 'mode':
        state.mode = event.mode;
        return;
      case 'abort':
        this.stop(state.failure ?? heldFailure(state) ?? { step: null, error: { code: 'cancelled', message: `aborted by ${by}${event.reason === undefined ? '' : `: ${event.reason}`}` } });
        return;
      default:
        break;
    }
    const step = state.steps[event.step] as StepState;
    switch (event.type) {
      case 'approved': {
        step.approvals.push({ as: event.as, at: this.at, hash: event.hash });
        const { approval } = this.spec(event.step);
        if (this.approved(event.step, step).length < (approval?.count ?? 1)) return;
        this.cancel(event.step, step);
        this.begin(event.step, step);
        return;
      }
      case 'rejected':
        this.cancel(event.step, step);
        this.fail(event.step, step, { code: 'approvalRefused', message: `${event.as} refused it${event.reason === undefined ? '' : `: ${event.reason}`}` });
        return;
      case 'skip':
        if (step.status === 'in progress') this.cancel(event.step, step);
        step.round++;
        this.settle(step, 'skipped', { reason: `skipped by ${by}` });
        this.release(event.step);
        return;
      case 'retry':
        this.again(step);
        this.release(event.step);
        return;
      case 'answer':
        this.release(event.step);
        if (event.answer === 'applied') this.applied(event.step, step, `took effect, says ${by}`, undefined);
        else {
          this.tookNoEffect(event.step, step);
          this.again(step);
        }
    }
  }

  /** From the beginning; what was captured first stays what is brought back. */
  private again(step: StepState): void {
    step.status = 'pending';
    step.variant = 'main';
    step.round++;
    delete step.phase;
    delete step.captured;
    delete step.error;
    delete step.endedAt;
    delete step.reason;
  }

  private hold(step: string, why: 'failed' | 'unknown'): void {
    if (this.state.held !== null) return;
    const until = this.at + this.snapshot.personMs;
    this.state.held = { step, why, until };
    this.commands.push({ type: 'timer', key: heldKey(this.state.held), step, at: until });
  }

  /** A person decided about a step; the next one that needs a person is asked about. */
  private release(step: string): void {
    const { state } = this;
    if (state.held === null) return;
    if (state.held.step !== step) return;
    this.commands.push({ type: 'cancel', key: heldKey(state.held) });
    state.held = null;
    const other = this.snapshot.steps.find(({ id, critical }) => id !== step && (state.steps[id]?.phase === 'ask' || (critical && state.steps[id]?.status === 'failed')));
    if (other !== undefined) this.hold(other.id, state.steps[other.id]?.phase === 'ask' ? 'unknown' : 'failed');
  }

  private approved(id: string, step: StepState): readonly string[] {
    const from = this.spec(id).approval?.from ?? [];
    return [...new Set(step.approvals.filter(({ as, hash }) => hash === step.resolved?.hash && from.includes(as)).map(({ as }) => as))];
  }

  private approvalExpired(id: string, step: StepState): void {
    if (this.spec(id).approval?.onTimeout === 'skip') this.settle(step, 'skipped', { reason: 'nobody approved it in time' });
    else this.fail(id, step, { code: 'approvalExpired', message: `not approved in time (${String(this.approved(id, step).length)} of ${String(this.spec(id).approval?.count ?? 1)})` });
  }

  // --- stopping and undoing

  private cancel(id: string, step: StepState): void {
    this.commands.push({ type: 'cancel', key: keyOf(id, step) });
  }

  /** Nothing new begins; what has no effect is left, what is being applied is waited for. */
  private stop(failure: NonNullable<PlanState['failure']>): void {
    const { state } = this;
    if (state.stage !== 'forward') return;
    state.stage = 'stopping';
    state.failure = failure;
    state.paused = null;
    if (state.held !== null) this.commands.push({ type: 'cancel', key: heldKey(state.held) });
    state.held = null;
    for (const [id, step] of Object.entries(state.steps)) {
      if (step.status !== 'in progress') continue;
      switch (step.phase) {
        case 'ask':
          this.settle(step, 'unknown');
          break;
        case 'verify':
        case 'confirm':
          this.cancel(id, step);
          step.remarks.push('not verified: the plan was being stopped');
          this.settle(step, 'completed');
          break;
        case 'apply':
          // What is tried once is not interrupted: nobody could tell how far it got.
          if (resolvedUse(step).abilities.effect !== 'irreversible') this.cancel(id, step);
          if (resolvedUse(step).timerMs !== undefined) this.settle(step, 'skipped', { reason: 'the plan was stopped' });
          break;
        case 'probe':
          break;
        default:
          this.cancel(id, step);
          this.settle(step, 'skipped', { reason: 'the plan was stopped' });
      }
    }
  }

  private undoAnswered(event: Extract<PlanEvent, { key: string }>): void {
    const entry = this.state.undo[Number(event.key.slice('undo#'.length))];
    if (entry?.status !== 'running') return;
    if (event.type === 'undone') {
      entry.status = 'done';
      entry.detail = event.summary;
      const step = this.state.steps[entry.step];
      if (step !== undefined && step.status !== 'failed' && this.state.undo.every((each) => each.step !== entry.step || each.status === 'done' || each.status === 'not needed')) step.status = 'compensated';
    } else if (event.type === 'undoFailed') {
      entry.status = 'failed';
      entry.detail = event.error.message;
    }
  }

  /** What follows from the state by itself. */
  private advance(): void {
    const { state } = this;
    if (state.stage === 'forward') this.startReady();
    const busy = Object.values(state.steps).some((step) => step.status === 'in progress');
    if (state.stage === 'forward' && !busy && Object.values(state.steps).every((step) => step.status !== 'pending') && state.held === null) this.end();
    if (state.stage === 'stopping' && !busy) {
      for (const { id, pointOfNoReturn } of this.snapshot.steps) if (pointOfNoReturn && state.steps[id]?.applied !== 'no') this.pass(id);
      state.stage = 'compensating';
    }
    if (state.stage === 'compensating') this.undoNext();
  }

  private startReady(): void {
    const { state } = this;
    for (let again = true; again; ) {
      again = false;
      for (const spec of this.snapshot.steps) {
        const step = state.steps[spec.id] as StepState;
        if (state.stage !== 'forward' || state.paused !== null || state.held !== null || step.status !== 'pending') continue;
        if (!spec.needs.every((id) => this.isSettled(id))) continue;
        if (spec.scope !== '' && this.scopesOf(spec).some((id) => state.steps[id]?.status === 'skipped')) {
          this.settle(step, 'skipped', { reason: `${spec.scope} is skipped` });
          again = true;
          continue;
        }
        step.status = 'in progress';
        step.startedAt ??= this.at;
        this.enter(spec.id, step, 'resolve');
      }
    }
  }

  /** The steps that stand for the child plans a step is in. */
  private scopesOf({ scope }: StepSpec): string[] {
    const parts = scope.split('/');
    return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
  }

  private isSettled(id: string): boolean {
    const status = this.state.steps[id]?.status;
    return status === 'completed' || status === 'skipped' || ((status === 'failed' || status === 'unknown') && !this.spec(id).critical);
  }

  /** In reverse order of registration, one at a time. */
  private undoNext(): void {
    const { state } = this;
    if (state.undo.some((entry) => entry.status === 'running')) return;
    const index = state.undo.findLastIndex((entry) => entry.status === 'registered');
    if (index < 0) {
      this.end();
      return;
    }
    const entry = state.undo[index] as UndoEntry;
    entry.status = 'running';
    this.commands.push({ type: 'undo', key: `undo#${String(index)}`, step: entry.step, variant: entry.variant, deadlineAt: this.at + Math.max(undoMs, useOf(this.spec(entry.step), entry.variant).timeoutMs), undo: index });
  }

  private end(): void {
    const { state } = this;
    state.stage = 'ended';
    state.endedAt = this.at;
    for (const step of Object.values(state.steps)) if (step.status === 'pending') this.settle(step, 'skipped', { reason: 'the plan ended before it' });
  }
}

export const heldKey = ({ step, until }: { readonly step: string; readonly until: number }): string => `held#${step}#${String(until)}`;

/** The failure of a plan that waits for a person because of it. */
function heldFailure(state: PlanState): PlanState['failure'] {
  const { held } = state;
  if (held === null) return null;
  return { step: held.step, error: state.steps[held.step]?.error ?? { code: 'outcomeUnknown', message: 'its outcome is not known' } };
}
