/** Tells people that they are wanted: their approval, with others when nobody decides, or what to do about a step. No plan waits for it or fails by it. */
import { CancellationScope, condition, patched } from '@temporalio/workflow';
import type { Notification, NotifyEvent } from '../domain/notification.ts';
import { heldKey, keyOf } from '../domain/plan/machine.ts';
import type { ApprovalSpec, PlanSnapshot, StepSpec } from '../domain/plan/model.ts';
import type { PlanState } from '../domain/plan/state.ts';
import { choicesOf } from '../domain/plan/view.ts';
import { factsOf } from './failures.ts';
import { tell } from './notification.workflow.ts';

interface Wanted {
  readonly spec: StepSpec;
  readonly approval: ApprovalSpec;
  /** Of this asking: a step that is tried again asks anew. */
  readonly key: string;
}

export class ApprovalCalls {
  /** What could not be handed over. */
  readonly troubles: string[] = [];
  private readonly asked = new Set<string>();
  private readonly handing: Promise<void>[] = [];
  private readonly snapshot: PlanSnapshot;
  private readonly run: string;
  private readonly state: () => PlanState;

  constructor(snapshot: PlanSnapshot, run: string, state: () => PlanState) {
    this.snapshot = snapshot;
    this.run = run;
    this.state = state;
  }

  /** After every event. */
  look(): void {
    for (const spec of this.snapshot.steps) {
      const { approval } = spec;
      const key = this.keyOfApproval(spec.id);
      if (approval === undefined || key === undefined || this.asked.has(key) || !patched('plan-approvals-are-told')) continue;
      this.asked.add(key);
      void CancellationScope.nonCancellable(() => this.call({ spec, approval, key }));
    }
    this.lookAtHeld();
  }

  /** A step that failed, or whose outcome nobody knows: the plan waits for a decision, and it may be night. */
  private lookAtHeld(): void {
    const { held, steps } = this.state();
    if (held === null || this.asked.has(heldKey(held)) || !patched('plan-held-is-told')) return;
    this.asked.add(heldKey(held));
    const { plan, target, priority, steps: specs } = this.snapshot;
    const uses = specs.find(({ id }) => id === held.step)?.uses ?? '';
    const what = held.why === 'unknown' ? 'nobody knows whether it took effect' : 'it failed, and nothing is undone by itself';
    const error = steps[held.step]?.error?.message ?? '';
    const headline = `plan ${plan} waits for a person: step ${held.step} (${uses}): ${what}`;
    const commands = [...new Set(choicesOf(this.snapshot, held).map((choice) => choice.split(' ')[0] ?? ''))];
    const group = `plan/${this.run}/held`;
    this.hand(
      {
        event: 'handover', severity: priority, subject: headline.slice(0, 300),
        text: `${headline}\n${error}\n\nLook: resurgo plan show ${this.run}\nThen one of: ${commands.map((word) => `resurgo plan ${word} ${this.run}`).join(', ')}. Without a decision until ${new Date(held.until).toISOString()} the plan is stopped.`.slice(0, 4000),
        dedupeKey: `${group}/${String(specs.findIndex(({ id }) => id === held.step))}/${String(held.until)}`, group,
        facts: { plan, run: this.run, step: held.step, action: uses, why: held.why, ...(error === '' ? {} : { error: error.slice(0, 500) }), ...(target === undefined ? {} : { target }), until: new Date(held.until).toISOString() },
      },
      `that step ${held.step} waits for a person could not be told`,
    );
  }

  private hand(message: Notification, trouble: string): void {
    this.handing.push(tell(message).catch((error: unknown) => { this.troubles.push(`${trouble}: ${factsOf(error).message}`); }));
  }

  /** Everything said has been handed over. */
  async settled(): Promise<void> {
    await Promise.all(this.handing);
  }

  private keyOfApproval(id: string): string | undefined {
    const step = this.state().steps[id];
    return step?.phase === 'approval' && step.status === 'in progress' ? keyOf(id, step) : undefined;
  }

  private async call(wanted: Wanted): Promise<void> {
    this.say(wanted, 'approval', 'approval', `approval wanted: ${this.question(wanted)}`);
    const over = (): boolean => this.keyOfApproval(wanted.spec.id) !== wanted.key;
    // Each level by a durable timer of its own, counted from when the approval was wanted.
    await Promise.all(
      wanted.approval.escalate.map(async ({ afterMs, notify }, index) => {
        if (await condition(over, afterMs)) return;
        this.say(wanted, 'escalated', `escalated-${String(index + 1)}`, `nobody has decided for ${spanOf(afterMs)}: ${this.question(wanted)}`, notify);
      }),
    );
  }

  private question({ spec, approval }: Wanted): string {
    return approval.question ?? `step ${spec.id} (${spec.uses})`;
  }

  private say({ spec, approval, key }: Wanted, event: NotifyEvent, which: string, headline: string, to?: readonly string[]): void {
    const { plan, target, priority, steps } = this.snapshot;
    const step = this.state().steps[spec.id];
    const what = `${spec.uses}${step?.resolved?.subject ? ` ${step.resolved.subject}` : ''}`;
    const given = [...new Set((step?.approvals ?? []).map(({ as }) => as))];
    // By its place: ids of steps in child plans can be long.
    const group = `plan/${this.run}/${String(steps.indexOf(spec))}.${roundOf(key)}`;
    const message: Notification = {
      event,
      severity: priority,
      subject: `plan ${plan}: ${headline}`.slice(0, 300),
      text: `${headline}\n\nPlan ${plan} waits at step ${spec.id} for ${String(approval.count)} of ${approval.from.join(', ')}. It would run ${what}.\nLook: resurgo plan show ${this.run}\nApprove: resurgo plan approve ${this.run} --as NAME, or refuse: resurgo plan reject ${this.run} --as NAME`,
      dedupeKey: `${group}/${which}`,
      group,
      facts: {
        plan, run: this.run, step: spec.id, action: what, from: approval.from.join(', '), needed: String(approval.count),
        ...(given.length === 0 ? {} : { approved: given.join(', ') }),
        ...(target === undefined ? {} : { target }),
        ...(step?.timerAt === undefined ? {} : { until: new Date(step.timerAt).toISOString() }),
      },
      ...(to === undefined ? {} : { to, only: true }),
    };
    this.hand(message, `that an approval of step ${spec.id} is wanted could not be told`);
  }
}

/** `step#variant#round#phase` */
const roundOf = (key: string): string => key.split('#').at(-2) ?? '0';

const spanOf = (ms: number): string => (ms < 120_000 ? `${String(Math.round(ms / 1000))} s` : `${String(Math.round(ms / 60_000))} min`);
