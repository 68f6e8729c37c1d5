import { allHandlersFinished, condition, continueAsNew, defineQuery, defineSignal, defineUpdate, setHandler } from '@temporalio/workflow';
import type { Alert } from '../domain/alert.ts';
import type { IncidentState, IncidentView, PersonInput } from '../domain/incident.ts';
import { lightOn } from './activity-profiles.ts';
import { failure } from './failures.ts';
import { IncidentRun } from './incident-run.ts';

export const alertsSignal = defineSignal<[readonly Alert[]]>('alerts');
export const incidentQuery = defineQuery<IncidentView | null>('incident');

export interface PersonAnswer { readonly id: string; readonly status: string; readonly stage: string; readonly detail: string }
export const ackUpdate = defineUpdate<PersonAnswer, [PersonInput]>('ack');
export const approveUpdate = defineUpdate<PersonAnswer, [PersonInput]>('approve');
export const abortUpdate = defineUpdate<PersonAnswer, [PersonInput]>('abort');
export const retryUpdate = defineUpdate<PersonAnswer, [PersonInput]>('retry');
export const resolveUpdate = defineUpdate<PersonAnswer, [PersonInput]>('resolve');
export const rearmUpdate = defineUpdate<PersonAnswer, [PersonInput]>('rearm');

/**
 * All that happens to one service or target, one incident after the other: alerts join the open one, a cool-down follows it, deliveries stay
 * known for 72 h. Id: `incident/<fingerprint>` (providers/alerts/incident-id.ts); started by the first firing alert (signal with start), never by
 * a person. Signal `alerts`; updates `ack approve abort retry resolve rearm`; query `incident`. Each incident is a run of its own: it continues as
 * new when one is over and when its history grows long; a plan that runs meanwhile goes on. Search attributes: target, operation `incident`,
 * outcome `open` or `resolved`.
 */
export async function incident(state: IncidentState): Promise<void> {
  const run = new IncidentRun(state);
  setHandler(alertsSignal, (alerts) => { run.take(alerts); }, { description: 'Alerts of one delivery' });
  setHandler(incidentQuery, () => run.view(), { description: 'The open incident, else the last one' });
  people(run);
  if (!(await run.live())) return;
  await condition(allHandlersFinished);
  await continueAsNew<typeof incident>(run.state());
}

/** Typed by hand in the Temporal UI, it may be anything. */
function named(input: unknown): void {
  const by = (input as Partial<PersonInput> | null | undefined)?.by;
  if (typeof by !== 'string' || by.trim() === '' || by.length > 200) throw failure('inputInvalid', 'who are you? {"by":"name"} is missing');
}

/** What people may do, and when. Validators are synchronous: an asynchronous one would leave the caller hanging. */
function people(run: IncidentRun): void {
  const answer = (detail: string): PersonAnswer => {
    const view = run.view();
    return { id: view?.id ?? '', status: view?.status ?? 'none', stage: view?.stage ?? 'idle', detail };
  };
  const open = (input: PersonInput): void => {
    named(input);
    if (run.record === undefined) throw failure('incidentState', 'the incident is resolved already');
  };
  setHandler(ackUpdate, ({ by }) => { run.acknowledge(by); return answer(`acknowledged by ${by}; it escalates no further`); }, { validator: open, description: 'A person takes it; stops the escalation' });
  setHandler(
    approveUpdate,
    async ({ by, proof }) => {
      const asked = run.record?.approval;
      if (run.provedApprovals && asked != null) {
        await lightOn(null, `is the approval by ${by}?`).checkApproval({ run: run.record?.id ?? '', step: asked.plan, hash: asked.hash ?? '', as: by, decision: 'approve', proof: proof ?? '' });
        if (run.record?.approval !== asked) throw failure('incidentState', 'the plan that waited was decided meanwhile');
      }
      const { plan, needed } = run.record?.approval ?? { plan: '', needed: 0 };
      run.approve(by);
      const count = run.record?.approval?.by.length ?? needed;
      return answer(count >= needed ? `plan ${plan} is approved` : `${String(count)} of ${String(needed)} approvals for plan ${plan}`);
    },
    {
      description: 'Lets the plan that waits run',
      validator: (input: PersonInput) => {
        open(input);
        const approval = run.record?.approval;
        if (approval == null) throw failure('incidentState', 'no plan of this incident waits for approval');
        if (input.hash !== undefined && (approval.hash === null || input.hash.length < 8 || !approval.hash.startsWith(input.hash))) throw failure('incidentState', `what waits has another preview (${approval.hash?.slice(0, 12) ?? 'none'}) than the one that was looked at`);
        if (run.provedApprovals && typeof input.proof !== 'string') throw failure('inputInvalid', 'an approval has to be proved: use resurgo incident approve, with the token of the approver');
        if (approval.by.includes(input.by)) throw failure('incidentState', `${input.by} has approved already; ${String(approval.needed)} different persons are needed`);
      },
    },
  );
  setHandler(abortUpdate, async ({ by, note }) => { await run.abort(by, note ?? ''); return answer('automatic recovery of this incident is stopped'); }, { validator: open, description: 'Stops the running plan (it compensates) and starts no other' });
  setHandler(retryUpdate, ({ by, plan }) => { run.retry(by, plan); return answer('tried again'); }, {
    description: 'Runs a plan again, or another',
    validator: (input: PersonInput) => {
      open(input);
      if (run.record?.running != null) throw failure('incidentState', `plan ${run.record.running.plan} is running`);
      if (input.plan !== undefined && !run.planNames.includes(input.plan)) throw failure('inputInvalid', `the configuration has no plan ${JSON.stringify(input.plan).slice(0, 100)}${run.planNames.length === 0 ? '' : `; there are ${run.planNames.join(', ')}`}`);
    },
  });
  setHandler(resolveUpdate, ({ by, note }) => { run.resolve(`resolved by ${by}${note === undefined ? '' : `: ${note.slice(0, 300)}`}`); return answer('resolved'); }, {
    description: 'A person says that it is over',
    validator: (input: PersonInput) => {
      open(input);
      if (run.record?.running != null) throw failure('incidentState', `plan ${run.record.running.plan} is running; abort it first, or wait`);
    },
  });
  setHandler(rearmUpdate, ({ by }) => { run.rearm(by); return answer('recoveries run by themselves again'); }, {
    description: 'Automatic recovery runs again after it was stopped',
    validator: (input: PersonInput) => {
      named(input);
    },
  });
}
