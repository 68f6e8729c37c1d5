/** The driver of the plan interpreter without Temporal: the same rules, the same actions, a journal in place of the history (O6). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ActionEffect } from '../../domain/action.ts';
import { errors } from '../../domain/errors.ts';
import { contextOf } from '../../domain/plan/context.ts';
import { refuse, type ControlEvent } from '../../domain/plan/control.ts';
import { initialState, next } from '../../domain/plan/machine.ts';
import type { ActionUse, Json, PlanSnapshot, ResolvedStep, StepSpec } from '../../domain/plan/model.ts';
import { outcomeOf } from '../../domain/plan/outcome-of.ts';
import { outstanding } from '../../domain/plan/outstanding.ts';
import type { PlanCommand, PlanEvent, PlanState } from '../../domain/plan/state.ts';
import { resolvedUse, useOf } from '../../domain/plan/uses.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { toResurgoError } from '../../activities/failure-mapping.ts';
import * as phases from '../../activities/plan/phases.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { Journal } from './journal.ts';

export interface LocalRunOptions {
  readonly deps: ActivityDeps;
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly onChange: (snapshot: PlanSnapshot, state: PlanState) => void;
  /** Decisions given on the command line: each is taken as soon as it can be. */
  readonly decisions: readonly ((state: PlanState) => ControlEvent | undefined)[];
  /** Runs of their own that can be done without Temporal. */
  readonly children: Readonly<Record<string, (input: Json) => Promise<Record<string, Json>>>>;
}

type Untimed = PlanEvent extends infer E ? (E extends PlanEvent ? Omit<E, 'at'> : never) : never;
type StepCommand = Extract<PlanCommand, { variant: unknown }>;

/** Runs or goes on with a run until it ends, or until only a person can help. */
export async function runLocally(options: LocalRunOptions): Promise<PlanState> {
  const driver = new LocalDriver(options);
  return driver.run();
}

class LocalDriver {
  private readonly options: LocalRunOptions;
  private readonly snapshot: PlanSnapshot;
  private state: PlanState;
  private readonly working = new Map<string, AbortController>();
  private failedWith: unknown;
  private wake: () => void = () => undefined;
  private decisions: LocalRunOptions['decisions'];

  constructor(options: LocalRunOptions) {
    this.options = options;
    this.snapshot = options.journal.head.snapshot;
    this.state = initialState(this.snapshot);
    this.decisions = options.decisions;
  }

  async run(): Promise<PlanState> {
    const { journal, signal } = this.options;
    for (const event of journal.events) this.state = next(this.snapshot, this.state, event).state;
    this.options.onChange(this.snapshot, this.state);
    if (journal.events.length === 0) this.take({ type: 'start', mode: journal.head.mode, at: Date.now() });
    else for (const command of outstanding(this.snapshot, this.state, Date.now())) this.resume(command);
    this.decide();
    while (this.state.stage !== 'ended' && !this.needsPerson()) {
      if (this.failedWith !== undefined) throw toResurgoError(this.failedWith);
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        signal.addEventListener('abort', () => { resolve(); }, { once: true });
      });
    }
    for (const controller of this.working.values()) controller.abort();
    return this.state;
  }

  /** Nothing but people (or their time running out) can move it. */
  private needsPerson(): boolean {
    const { state } = this;
    if (state.stage !== 'forward') return false;
    const busy = Object.values(state.steps).filter((step) => step.status === 'in progress' && step.phase !== 'approval' && step.phase !== 'ask');
    return busy.length === 0 && (state.held !== null || state.paused !== null || Object.values(state.steps).some((step) => step.phase === 'approval'));
  }

  private take(event: PlanEvent): void {
    try {
      this.options.journal.append(event);
      const made = next(this.snapshot, this.state, event);
      this.state = made.state;
      this.options.onChange(this.snapshot, this.state);
      for (const command of made.commands) this.carryOut(command);
    } catch (error) {
      // What cannot be written down must not go on.
      this.failedWith = error;
    }
    this.wake();
  }

  private decide(): void {
    let decided: boolean;
    do {
      decided = false;
      for (const make of this.decisions) {
        const event = make(this.state);
        if (event === undefined || refuse(this.snapshot, this.state, event) !== undefined) continue;
        this.decisions = this.decisions.filter((each) => each !== make);
        this.take(event);
        decided = true;
        break;
      }
    } while (decided);
  }

  /** Of what was asked before the process died: an effect that may have begun and may happen once only is lost; the rest is done again. */
  private resume(command: PlanCommand): void {
    if (command.type === 'apply' || command.type === 'undo') {
      const begun = this.options.journal.started.has(command.key);
      const { effect } = this.effectOf(command);
      if (begun && effect === 'irreversible') {
        const error = { code: 'outcomeUnknown', message: 'this process was ended while the step was at work' };
        this.take(command.type === 'apply' ? { type: 'phaseFailed', key: command.key, error, outcome: 'lost', at: Date.now() } : { type: 'undoFailed', key: command.key, error, at: Date.now() });
        return;
      }
    }
    this.carryOut(command);
  }

  private effectOf(command: StepCommand): { effect: ActionEffect } {
    const spec = this.spec(command.step);
    if (command.type === 'undo' && spec.compensate !== undefined && spec.compensate !== false) return { effect: spec.compensate.effect };
    return { effect: command.type === 'undo' ? 'converge' : resolvedUse(this.state.steps[command.step] as PlanState['steps'][string]).abilities.effect };
  }

  private spec(id: string): StepSpec {
    return this.snapshot.steps.find((step) => step.id === id) as StepSpec;
  }

  private carryOut(command: PlanCommand): void {
    if (command.type === 'cancel') {
      this.working.get(command.key)?.abort();
      return;
    }
    const controller = new AbortController();
    this.working.set(command.key, controller);
    const signal = AbortSignal.any([controller.signal, this.options.signal]);
    const work = command.type === 'timer' ? sleep(Math.max(0, command.at - Date.now()), undefined, { signal }).then((): Untimed => ({ type: 'expired', key: command.key })) : this.perform(command, signal);
    work.then(
      (event) => {
        this.working.delete(command.key);
        // Ended from outside: what was at work is found in the journal as begun, and looked at when the run goes on.
        if (this.options.signal.aborted) return;
        this.take({ ...event, at: Date.now() });
        this.decide();
      },
      (error: unknown) => {
        this.working.delete(command.key);
        if (this.options.signal.aborted || (command.type === 'timer' && controller.signal.aborted)) return;
        const { code, message, hint } = toResurgoError(error);
        const made = { code: controller.signal.aborted ? 'cancelled' : code, message, hint };
        if (command.type === 'undo') this.take({ type: 'undoFailed', key: command.key, error: made, at: Date.now() });
        else {
          const { effect } = this.effectOf(command as StepCommand);
          this.take({ type: 'phaseFailed', key: command.key, error: made, outcome: command.type === 'apply' ? outcomeOf(code, effect) : 'failed', at: Date.now() });
        }
        this.decide();
      },
    );
  }

  private async perform(command: StepCommand, signal: AbortSignal): Promise<Untimed> {
    const { key } = command;
    const { deps, journal } = this.options;
    const spec = this.spec(command.step);
    const step = this.state.steps[command.step] as PlanState['steps'][string];
    const use = useOf(spec, command.variant);
    const resolved = resolvedUse(step);
    const { head } = journal;
    const run: phases.RunRef = { id: head.facts.id, plan: this.snapshot.plan, fence: head.fence, configHash: head.configHash, mode: this.state.mode, ...(this.snapshot.target === undefined ? {} : { target: this.snapshot.target }) };
    const phase: phases.PhaseInput = { run, step: spec.id, uses: use.uses, version: use.version, input: resolved.input, ...(step.captured === undefined ? {} : { captured: step.captured }), ...(step.output === undefined ? {} : { output: step.output }) };
    const tries = <T>(effect: ActionEffect, retries: number | undefined, work: (host: phases.PhaseHost) => Promise<T>): Promise<T> => this.patient({ effect, retries, deadlineAt: command.deadlineAt, signal }, work);
    switch (command.type) {
      case 'resolve': {
        const made = await this.resolve(spec, use, run, command.variant === 'main' ? spec.if : undefined);
        return 'skip' in made ? { type: 'notNeeded', key, reason: made.skip } : { type: 'resolved', key, resolved: made.resolved };
      }
      case 'prepare':
        return { type: 'prepared', key, ...(await tries('none', 5, (host) => phases.prepareStep(deps, phase, host))) };
      case 'apply': {
        journal.begin(key);
        if (resolved.child !== undefined && resolved.child.tellMs === undefined) return { type: 'applied', key, ...(await this.child(resolved.child)) };
        return { type: 'applied', key, ...(await tries(resolved.abilities.effect, use.retries, (host) => phases.applyStep(deps, phase, host))) };
      }
      case 'probe':
        return { type: 'probed', key, answer: await tries('none', 5, (host) => phases.probeStep(deps, phase, host)) };
      case 'verify':
        return { type: 'verified', key, summary: await tries('none', undefined, (host) => phases.verifyStep(deps, phase, host)) };
      case 'confirm': {
        const confirm = spec.verify as ActionUse;
        const made = await this.resolve(spec, confirm, run);
        if ('skip' in made) return { type: 'verified', key, summary: made.skip };
        return { type: 'verified', key, summary: await tries('none', confirm.retries, (host) => phases.confirmStep(deps, { run, step: spec.id, uses: confirm.uses, version: confirm.version, input: made.resolved.input }, host)) };
      }
      case 'undo': {
        const entry = this.state.undo[command.undo ?? -1];
        if (entry === undefined) return { type: 'undone', key, summary: 'nothing had to be undone' };
        const own = step.variant === entry.variant && step.applied === 'yes' ? step.output : undefined;
        journal.begin(key);
        if (spec.compensate !== undefined && spec.compensate !== false) {
          const { compensate } = spec;
          const made = await this.resolve(spec, compensate, run);
          if ('skip' in made) return { type: 'undone', key, summary: made.skip };
          return { type: 'undone', key, summary: await tries(made.resolved.abilities.effect, compensate.retries ?? 3, (host) => phases.undoStep(deps, { run, step: spec.id, uses: compensate.uses, version: compensate.version, input: made.resolved.input }, host)) };
        }
        const child = entry.resolved.child?.compensate;
        if (child !== undefined) return { type: 'undone', key, summary: own === undefined ? 'it had undone itself' : (await this.child({ ...child, input: withOutput(child.input, own), pick: [] })).summary };
        return { type: 'undone', key, summary: await tries('converge', 5, (host) => phases.compensateStep(deps, { run, step: spec.id, uses: use.uses, version: use.version, input: entry.resolved.input, ...(entry.captured === undefined ? {} : { captured: entry.captured }), ...(own === undefined ? {} : { output: own }) }, host)) };
      }
    }
  }

  private async resolve(spec: StepSpec, use: ActionUse, run: phases.RunRef, condition?: string): Promise<{ readonly skip: string } | { readonly resolved: ResolvedStep }> {
    const { facts } = this.options.journal.head;
    const made = await phases.resolveStep(this.options.deps, {
      run, step: spec.id, use, planHash: this.snapshot.hash,
      context: contextOf(this.snapshot, this.state, spec, { id: facts.id, ...(facts.incident === undefined ? {} : { incident: facts.incident }) }),
      ...(condition === undefined ? {} : { if: condition }),
      ...(spec.childPlan === undefined ? {} : { childPlan: true }),
    });
    if ('resolved' in made && made.resolved.host !== undefined && made.resolved.host !== this.options.deps.host) {
      throw new ResurgoError('unsupported', `step ${spec.id} belongs to host ${made.resolved.host}, and there is no Temporal to reach it`, { details: { hint: `Run the rescue there with --host ${made.resolved.host}, or leave the step out with --skip ${spec.id}.` } });
    }
    return made;
  }

  private async child({ workflow, input, pick }: { readonly workflow: string; readonly input: Json; readonly pick: readonly string[] }): Promise<{ summary: string; output: Json }> {
    const run = this.options.children[workflow];
    if (run === undefined) throw new ResurgoError('unsupported', `${workflow} needs Temporal`, { details: { hint: 'Leave the step out with --skip STEP.' } });
    const result = await run(input);
    return { summary: `${workflow} ${typeof result['status'] === 'string' ? result['status'] : 'done'}`, output: Object.fromEntries(pick.flatMap((name) => (result[name] === undefined ? [] : [[name, result[name]]]))) };
  }

  /** Tries again as Temporal would. */
  private async patient<T>(rule: { effect: ActionEffect; retries: number | undefined; deadlineAt: number; signal: AbortSignal }, work: (host: phases.PhaseHost) => Promise<T>): Promise<T> {
    const most = rule.effect === 'irreversible' ? 1 : rule.retries !== undefined ? rule.retries + 1 : rule.effect === 'converge' ? 5 : Infinity;
    const deadline = AbortSignal.timeout(Math.max(1000, rule.deadlineAt - Date.now()));
    const signal = AbortSignal.any([rule.signal, deadline]);
    for (let attempt = 1; ; attempt++) {
      try {
        return await work({ attempt, signal, report: (report) => this.options.deps.onProgress?.(report) });
      } catch (error) {
        const known = toResurgoError(error);
        if (deadline.aborted && !rule.signal.aborted) throw new ResurgoError(known.code === 'cancelled' || known.code === 'bug' ? 'outcomeUnknown' : known.code, `${known.message} (its time was over)`, { cause: error });
        if (!errors[known.code].retryable || attempt >= most || rule.signal.aborted) throw error;
        await sleep(Math.min(10_000, 500 * 2 ** (attempt - 1)), undefined, { signal }).catch(() => undefined);
      }
    }
  }
}

/** `{ "$output": "id" }` becomes that field of the step's output. */
function withOutput(value: Json, output: Json): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value);
  const [only] = entries;
  if (entries.length === 1 && only?.[0] === '$output' && typeof only[1] === 'string') return (output as Record<string, Json>)[only[1]] ?? null;
  return Object.fromEntries(entries.map(([key, inner]) => [key, withOutput(inner, output)]));
}
