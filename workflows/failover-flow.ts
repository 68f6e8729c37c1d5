/**
 * Unplanned failover (P3): confirm → fence → elect → promote → prove writes → move clients, re-attach standbys → measure the loss → record.
 * It knows nothing of Temporal: the workflow and `resurgo rescue failover` drive the same code with their own way of calling a step.
 * Every step is idempotent and finds out what is done already, so that a run that died is simply started again.
 */
import { contradiction, failoverRefusal, freshest, judge, type ClusterView, type MemberState } from '../domain/cluster.ts';
import type { ClusterPlan, DataLoss, FailoverInput, FailoverResult, FenceOutcome, MemberPlan, PromotedMember } from '../domain/failover.ts';
import { automaticRefusal } from '../domain/replication.ts';
import { StepLog, type FlowHost } from './step-log.ts';

export interface FenceStep {
  readonly run: string;
  readonly epoch: number;
  readonly why: string;
  readonly systemId?: string;
}

export interface FailoverSteps {
  observe(input: { readonly rounds: number; readonly everyMs: number; readonly hurry?: readonly string[] }): Promise<ClusterView>;
  fenceLocal(member: MemberPlan, step: FenceStep): Promise<FenceOutcome>;
  fenceByCommand(member: MemberPlan, step: FenceStep): Promise<FenceOutcome>;
  liftFence(member: MemberPlan, step: { readonly run: string; readonly epoch: number }): Promise<string>;
  promote(member: MemberPlan, fromTimeline: number): Promise<PromotedMember>;
  proveWrites(member: MemberPlan, timeline: number): Promise<{ readonly waitsFor: string | null }>;
  follow(member: MemberPlan, primary: string, timeline: number): Promise<string>;
  moveClients(primary: MemberPlan): Promise<readonly string[]>;
  measureLoss(member: MemberPlan, timeline: number, switchLsn: string): Promise<DataLoss>;
  record(result: FailoverResult): Promise<void>;
}

export interface FailoverRun {
  readonly id: string;
  readonly startedAt: string;
  /** Rises from run to run; zombies of older ones are refused by it. */
  readonly epoch: number;
  readonly input: FailoverInput;
  readonly plan: ClusterPlan;
}

/** Carries the finished result of a run that failed. */
export class FailoverFailed extends Error {
  readonly result: FailoverResult;
  readonly original: unknown;

  constructor(result: FailoverResult, original: unknown) {
    super(result.error?.message ?? 'failover failed');
    this.result = result;
    this.original = original;
  }
}

/** Thrown inside a flow with a code of the table; each driver turns it into its own kind of failure. */
export class FlowRefusal extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

export const failoverStepNames = (plan: ClusterPlan): string[] => ['confirm', 'fence', 'elect', 'promote', 'prove writes', ...(plan.records.length > 0 ? ['move clients'] : []), 're-attach standbys', 'measure loss', 'record'];

const unknownLoss: DataLoss = { bytes: null, oldPrimaryLsn: null, detail: 'not measured' };

/** @throws FailoverFailed with the full result */
export async function failoverFlow(run: FailoverRun, steps: FailoverSteps, host: FlowHost): Promise<FailoverResult> {
  const { input, plan } = run;
  const log = new StepLog(host);
  const warnings = [...plan.warnings];
  const fences: FenceOutcome[] = [];
  let view: ClusterView | undefined;
  let from: string | null = null;
  let chosen: MemberState | undefined;
  let promoted: PromotedMember | undefined;
  let loss = unknownLoss;
  let records: readonly string[] = [];
  let writableAfterMs: number | null = null;
  let would: string[] | undefined;
  const member = (name: string): MemberPlan => {
    const found = plan.members.find((each) => each.name === name);
    if (found === undefined) throw new FlowRefusal('memberUnknown', `cluster ${plan.target} has no member ${name}`);
    return found;
  };
  const resultOf = (status: FailoverResult['status'], error?: FailoverResult['error']): FailoverResult => {
    const endedAt = host.now();
    return {
      schemaVersion: 1, id: run.id, target: input.target, kind: 'failover', status, from, to: promoted === undefined && status !== 'preview' ? null : (chosen?.name ?? null),
      timeline: { before: promoted?.parent ?? chosen?.timeline ?? null, after: promoted?.timeline ?? null }, switchLsn: promoted?.switchLsn ?? null,
      loss, fences, records, startedAt: run.startedAt, endedAt, durationMs: Date.parse(endedAt) - Date.parse(run.startedAt), writableAfterMs,
      ...(input.startedBy === undefined ? {} : { startedBy: input.startedBy }), ...(input.automatic === undefined ? {} : { automatic: input.automatic }), ...(input.incident === undefined ? {} : { incident: input.incident }), ...(input.observed === undefined ? {} : { observed: input.observed }),
      steps: log.steps, warnings, ...(error === undefined ? {} : { error }), ...(view === undefined ? {} : { view }), ...(would === undefined ? {} : { would }),
    };
  };

  try {
    const before = (view = await log.run('confirm', async () => {
      const seen = await steps.observe({ rounds: input.observed === undefined ? plan.probes : 1, everyMs: plan.everyMs });
      const { observed } = input;
      // The questions of who found it dead count too.
      const all = observed === undefined ? seen : { ...seen, rounds: seen.rounds + observed.rounds, observedMs: Math.max(seen.observedMs, Date.parse(host.now()) - Date.parse(observed.since)) };
      const refusal = input.automatic === true
        ? automaticRefusal(all, { hangTimeoutMs: plan.hangTimeoutMs, primary: observed?.primary ?? null, synchronous: input.synchronous ?? null })
        : failoverRefusal(all, { automatic: false, hangTimeoutMs: plan.hangTimeoutMs });
      if (refusal !== undefined) throw new FlowRefusal(refusal.code, refusal.message);
      return seen;
    }, { detail: (seen) => seen.members.map(({ name, role, silence }) => `${name}: ${role ?? silence ?? 'silent'}`).join(', ') }));
    const { standbys, silent } = judge(before.members);
    // Whoever does not answer may be the primary, or become one: all of them are fenced.
    const suspects = silent.map(({ name }) => member(name));
    from = suspects.length === 1 ? (suspects[0]?.name ?? null) : null;
    const systemId = standbys.find((each) => each.systemId !== undefined)?.systemId;

    if (input.preview === true) {
      chosen = wanted(standbys, input.to);
      would = preview(plan, suspects, chosen, standbys);
      return resultOf('preview');
    }

    // Also where a fence failed half-way: the host knows what this run blocked.
    for (const suspect of suspects) if (suspect.fences.includes('local')) log.onFailure(`lift the fence of ${suspect.name}`, () => steps.liftFence(suspect, { run: run.id, epoch: run.epoch }));
    await log.run('fence', async () => {
      const step: FenceStep = { run: run.id, epoch: run.epoch, why: `failover ${run.id} of ${input.target}`, ...(systemId === undefined ? {} : { systemId }) };
      const outcomes = await Promise.allSettled(suspects.map(async (suspect) => fences.push(await fenceOne(suspect, step, steps, host, input.overrideFence))));
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    }, { detail: () => fences.map((fence) => `${fence.member}: ${fence.proof}`).join('; ') });
    for (const fence of fences) if (fence.override !== null) warnings.push(`${fence.member} is not proved to be fenced; ${input.startedBy ?? 'somebody'} answers for it: ${fence.override}`);

    const elected = await log.run('elect', async () => {
      const now = await steps.observe({ rounds: 1, everyMs: plan.everyMs, hurry: suspects.map(({ name }) => name) });
      const clash = contradiction(now);
      if (clash !== undefined) throw new FlowRefusal(clash.code, clash.message);
      const still = judge(now.members);
      const [alive] = still.primaries;
      if (alive !== undefined) throw new FlowRefusal('fenceUnproved', `${alive.name} was fenced, and yet it answers as the primary`, 'Its host or dataDir in the configuration is another server\'s; correct it.');
      const lost = standbys.filter(({ name }) => !still.standbys.some((each) => each.name === name));
      if (lost.length > 0) throw new FlowRefusal('noStandby', `${lost.map(({ name }) => name).join(', ')} answered a moment ago and does not now: which standby is the freshest cannot be said`, 'Try again.');
      return wanted(still.standbys, input.to);
    }, { detail: (best) => `${best.name}, timeline ${String(best.timeline)}, ${String(best.lsn)}` });
    chosen = elected;

    // The point of no return: from here on the run only goes forward, and no fence is taken back.
    log.pointOfNoReturn();
    const next = member(elected.name);
    const made = (promoted = await log.run('promote', () => steps.promote(next, elected.timeline ?? 0), { detail: (value) => `timeline ${String(value.timeline)} from ${value.switchLsn} on` }));
    const proof = await log.run('prove writes', () => steps.proveWrites(next, made.timeline), { detail: () => `a write is durable on timeline ${String(made.timeline)}` });
    writableAfterMs = Date.parse(host.now()) - Date.parse(run.startedAt);
    if (proof.waitsFor !== null) warnings.push(`commits on ${next.name} wait for a synchronous standby (synchronous_standby_names = ${proof.waitsFor}) and none is attached yet: bring a member back with \`resurgo rejoin\``);

    const others = standbys.filter(({ name }) => name !== next.name).map(({ name }) => member(name));
    const attach = async (): Promise<void> => {
      if (others.length === 0) {
        log.skip('re-attach standbys', 'there are no others');
        return;
      }
      const done = await log.try('re-attach standbys', () => Promise.all(others.map(async (each) => `${each.name} ${await steps.follow(each, next.name, made.timeline)}`)), { detail: (lines) => lines.join('; ') });
      if (done === undefined) warnings.push('not every standby follows the new primary; see the step');
    };
    const [moved] = await Promise.all([plan.records.length === 0 ? Promise.resolve([]) : log.settle('move clients', () => steps.moveClients(next), { detail: (lines) => lines.join('; ') }), attach()]);
    if (moved instanceof Error) throw moved;
    records = moved;

    const old = suspects.length === 1 ? suspects[0] : undefined;
    if (old?.hasDataDir === true && fences.some((fence) => fence.member === old.name && fence.method === 'local')) {
      loss = (await log.try('measure loss', () => steps.measureLoss(old, made.parent, made.switchLsn), { detail: (value) => value.detail })) ?? unknownLoss;
    } else log.skip('measure loss', 'the old primary is not within reach');
    if (loss.bytes !== null && loss.bytes > 0) warnings.push(`data loss: ${loss.detail}`);
    const result = resultOf(warnings.length > plan.warnings.length ? 'completed-with-warnings' : 'completed');
    return (await log.try('record', () => steps.record(result).then(() => true))) === true ? { ...result, steps: log.steps } : { ...resultOf('completed-with-warnings'), warnings: [...warnings, 'the record of this failover could not be written'] };
  } catch (error) {
    const facts = host.describe(error);
    const { left, undone } = await host.shielded(() => log.undo());
    const status = left.length === 0 && undone > 0 ? 'compensated' : 'failed';
    const message = promoted === undefined ? facts.message : `${chosen?.name ?? ''} is the primary now, but: ${facts.message}`;
    const result = resultOf(status, left.length > 0 ? { code: 'compensationFailed', message: `${message}; not undone: ${left.join('; ')}` } : { code: facts.code, message, ...(facts.hint === undefined ? {} : { hint: facts.hint }) });
    if (log.touched) await host.shielded(() => steps.record(result).catch(() => undefined));
    throw new FailoverFailed(result, error);
  }
}

async function fenceOne(suspect: MemberPlan, step: FenceStep, steps: FailoverSteps, host: FlowHost, override: string | undefined): Promise<FenceOutcome> {
  const tried: string[] = [];
  for (const way of suspect.fences) {
    try {
      return await (way === 'local' ? steps.fenceLocal(suspect, step) : steps.fenceByCommand(suspect, step));
    } catch (error) {
      host.passOn(error);
      tried.push(`${way}: ${host.describe(error).message}`);
    }
  }
  const reason = tried.length === 0 ? 'no way to fence it is configured' : tried.join('; ');
  if (override !== undefined) return { member: suspect.name, method: 'override', proof: `none (${reason})`, override };
  throw new FlowRefusal('fenceUnproved', `${suspect.name} cannot be proved to be off (${reason}); nothing was promoted`);
}

/** The freshest, or the one asked for when it lacks nothing that another one has. */
function wanted(standbys: readonly MemberState[], to: string | undefined): MemberState {
  const best = freshest(standbys, to);
  if (best === undefined) throw new FlowRefusal('noStandby', 'no standby answers');
  if (to === undefined || best.name === to) return best;
  const asked = standbys.find(({ name }) => name === to);
  if (asked === undefined) throw new FlowRefusal('noStandby', `${to} does not answer as a standby`);
  throw new FlowRefusal('noStandby', `${to} (${String(asked.lsn)}) lacks WAL that ${best.name} has (${String(best.lsn)})`, `Promote ${best.name}, then switch over to ${to}.`);
}

function preview(plan: ClusterPlan, suspects: readonly MemberPlan[], chosen: MemberState, standbys: readonly MemberState[]): string[] {
  return [
    ...suspects.map((suspect) => `fence ${suspect.name}${suspect.fences.length === 0 ? ': no way is configured, this would ask a person' : ` by ${suspect.fences.map((way) => (way === 'local' ? `the worker on ${suspect.host ?? 'its host'}` : 'its command')).join(', then ')}`}`),
    `promote ${chosen.name} (timeline ${String(chosen.timeline)}, ${String(chosen.lsn)}): point of no return`,
    'prove that it takes writes',
    ...plan.records.map((record) => `move ${record} to ${chosen.name}`),
    ...standbys.filter(({ name }) => name !== chosen.name).map(({ name }) => `let ${name} follow ${chosen.name}`),
  ];
}
