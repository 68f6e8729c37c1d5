import { CancellationScope, CancelledFailure, ChildWorkflowCancellationType, executeChild, isCancellation, ParentClosePolicy, uuid4, workflowInfo } from '@temporalio/workflow';
import { checklistOf, rpoOf, type GroupedCheck, type SourceMoment } from '../domain/drill.ts';
import type { EvidencePhase } from '../domain/evidence.ts';
import { describeDisaster, stepOf, type GameDayInput, type GameDayResult } from '../domain/gameday.ts';
import { gameDayAdvice, gameDayDocument } from '../domain/gameday-evidence.ts';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import type { PlanResult } from '../domain/plan/result.ts';
import { taskQueues } from '../domain/task-queues.ts';
import type { Activities } from '../activities/index.ts';
import { bulkOnHost, local, lightOn, onHost } from './activity-profiles.ts';
import { factsOf, failure, rethrow, type FailureFacts, planResultIn } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { Checklist as Steps, searchAttributes } from './progress.ts';
import { fenceOf, type planRun, type PlanRunInput } from './recover.workflow.ts';

type Announced = Awaited<ReturnType<Activities['announceGameDay']>>;
type Plan = Awaited<ReturnType<Activities['planDrill']>>;
type Built = Awaited<ReturnType<Activities['buildDrill']>>;
type Sandboxed = Awaited<ReturnType<Activities['openSandbox']>>;
type Injected = Awaited<ReturnType<Activities['injectDisaster']>>;
type Checked = Awaited<ReturnType<Activities['checkDrill']>>;

export interface GameDayOperationInput {
  readonly id: string;
  readonly startedAt: string;
  readonly announced: Announced;
}

/**
 * Game day (D2). Public: `{"plan":"recover-shop"}`, or with `target` and `disaster` where none is configured. A sandbox is made of the newest backup, the disaster
 * happens there, and the plan runs with its target bound to it. Holds `drill/<target>`. Query: `steps`. Ends with a {@link GameDayResult}, also when the plan failed.
 */
export async function gameday(input: GameDayInput): Promise<GameDayResult> {
  try {
    const steps = new Steps(`Game day of plan ${String((input as GameDayInput | undefined)?.plan)}`, ['validate input', 'run']);
    const announced = await steps.run('validate input', () => local.announceGameDay(input));
    steps.enableAttributes(announced.searchAttributes);
    const { target, plan } = announced.input;
    steps.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'gameday' }, { key: searchAttributes.plan, value: plan }]);
    const operation: GameDayOperationInput = { id: idFromUuid(uuid4()), startedAt: new Date(workflowInfo().startTime).toISOString(), announced };
    const result = await steps.run('run', () => runLocked<typeof gamedayOperation>('gamedayOperation', [operation], { lockId: lockIds.drill(target), summary: `game day ${operation.id} of plan ${plan} on ${target}`, onBusy: 'refuse' }), (done) => (done === skipped ? undefined : done.status));
    if (result === skipped) throw failure('lockBusy', `a drill or another game day of ${target} is running`);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

/** What is known when the steps have ended, however they did. */
interface Course {
  readonly phases: EvidencePhase[];
  plan?: Plan;
  built?: Built;
  sandbox?: Sandboxed;
  disaster?: Injected;
  result?: PlanResult;
  closed?: GroupedCheck;
  checked?: Checked;
  source?: SourceMoment;
}

/** A step that does not come through is a finding; it is not tried for days. */
const few = { retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '30 seconds', maximumAttempts: 4 } } as const;

/** Holds `drill/<target>`. Whatever happens, the sandbox is removed before it ends. */
export async function gamedayOperation(input: GameDayOperationInput): Promise<GameDayResult> {
  const { plan, target } = input.announced.input;
  const steps = new Steps(`Game day ${input.id} of plan ${plan} on ${target}`, ['choose the backup', 'build the sandbox', 'start it', 'the disaster', 'run the plan', 'check', 'clean up', 'record']);
  steps.enableAttributes(input.announced.searchAttributes);
  steps.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'gameday' }, { key: searchAttributes.plan, value: plan }]);
  const course: Course = { phases: [] };
  let error: FailureFacts | undefined;
  let cancelled = false;
  try {
    await CancellationScope.withTimeout(input.announced.timeoutMs, () => run(input, steps, course));
  } catch (caught) {
    cancelled = CancellationScope.current().consideredCancelled;
    error = cancelled ? undefined : isCancellation(caught) ? { code: 'gamedayTimeout', message: `The game day was ended after ${String(Math.round(input.announced.timeoutMs / 1000))} s.` } : factsOf(caught);
  }
  return CancellationScope.nonCancellable(async () => {
    const left = await cleanUp(input, steps, course);
    if (cancelled) {
      steps.tag([{ key: searchAttributes.outcome, value: 'cancelled' }]);
      // A run that closes as cancelled has no words of its own: what is left for a person would be lost.
      if (left !== undefined) throw failure('compensationFailed', `The game day was cancelled, and its sandbox could not be removed: ${left}`);
      throw new CancelledFailure('The game day was cancelled; its sandbox is removed.');
    }
    return conclude(input, steps, course, left, error);
  });
}

/** Times a phase, and notes how it ended. */
async function timed<T>(course: Course, steps: Steps, phase: string, work: () => Promise<T>, describe: (value: T) => string): Promise<T> {
  const since = Date.now();
  const note = (outcome: EvidencePhase['outcome'], detail: string): void => void course.phases.push({ phase, startedAt: new Date(since).toISOString(), durationMs: Date.now() - since, outcome, detail });
  try {
    const value = await steps.run(phase, work, describe);
    note('completed', describe(value));
    return value;
  } catch (error) {
    note('failed', factsOf(error).message);
    throw error;
  }
}

async function run(input: GameDayOperationInput, steps: Steps, course: Course): Promise<void> {
  const { id, startedAt, announced } = input;
  const { host } = announced;
  const { target, backup, disaster, startedBy } = announced.input;
  const observed = onHost(host, `what ${target} has now`, { startToCloseTimeout: '3 minutes', retry: { maximumAttempts: 2 } }).observeSource({ target }).catch(() => undefined);
  const plan = await timed(course, steps, 'choose the backup', () => onHost(host, `choose the backup of ${target}, check keys and space`, { startToCloseTimeout: '30 minutes' }).planDrill({ id, target, startedAt, startedBy: startedBy ?? 'temporal', sandbox: true, ...(backup === undefined ? {} : { backup }) }), (made) => `${made.restore.backup} from ${made.restore.repositories.join(', ')}`);
  course.plan = plan;
  course.built = await timed(course, steps, 'build the sandbox', () => bulkOnHost(host, `fetch and build backup ${plan.restore.backup} of ${target} as a sandbox`, few).buildDrill(plan), (built) => `${(built.bytes / 1048576).toFixed(1)} MiB in ${String(built.files)} files`);
  const sandbox = await timed(course, steps, 'start it', () => onHost(host, 'start the server of the sandbox', { startToCloseTimeout: '30 minutes', ...few }).openSandbox({ plan, services: announced.services, run: announced.run }), (made) => `${made.database} answers by a socket of its own`);
  course.sandbox = sandbox;
  const source = await observed;
  if (source !== undefined) course.source = source;
  const happened = await timed(course, steps, 'the disaster', () => onHost(host, `game day: ${describeDisaster(disaster)}`, { startToCloseTimeout: '15 minutes', ...few }).injectDisaster({ sandbox, disaster }), (made) => `${describeDisaster(disaster)}: ${made.detail}`);
  course.disaster = happened;
  const result = await timed(course, steps, 'run the plan', () => tryPlan(input, sandbox, happened), (made) => `${made.status} in ${String(made.durationMs)} ms${made.error === undefined ? '' : `: ${made.error.message}`}`);
  course.result = result;
  course.closed = await timed(course, steps, 'look whether the service answers', () => onHost(host, 'does the service answer? then stop the sandbox', { startToCloseTimeout: '15 minutes', ...few }).closeSandbox({ sandbox }), (check) => check.detail);
  if (result.status !== 'completed') return;
  course.checked = await timed(course, steps, 'check', () => bulkOnHost(host, 'check what the plan has brought back', few).checkDrill(plan), (checked) => `${String(checked.checks.filter((check) => check.outcome === 'passed').length)} of ${String(checked.checks.length)} checks passed`);
}

/** By name: importing the type only keeps the two workflows apart. */
const startPlan = executeChild as unknown as (type: string, options: Record<string, unknown>) => ReturnType<typeof planRun>;

/** The plan as it would run, by the same interpreter; a plan that fails is a result. */
async function tryPlan({ id, announced }: GameDayOperationInput, sandbox: Sandboxed, disaster: Injected): Promise<PlanResult> {
  const { input, snapshot, configHash } = announced;
  const run: PlanRunInput = {
    id, snapshot, configHash, fence: fenceOf(Date.parse(disaster.at), id), mode: input.mode ?? 'graceful', startedBy: `game day ${id}`, searchAttributes: false, gameday: sandbox,
    incident: { id: `gameday-${id}`, type: 'database', severity: 'critical', service: input.target, description: describeDisaster(input.disaster), detectedAt: disaster.at },
  };
  try {
    return await startPlan('planRun', {
      args: [run], workflowId: `gameday/${id}/${snapshot.plan}`, taskQueue: taskQueues.main, staticSummary: `plan ${snapshot.plan} in the sandbox of game day ${id}`,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL, cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    });
  } catch (error) {
    if (CancellationScope.current().consideredCancelled) throw error;
    const found = planResultIn(error);
    if (found !== undefined) return found.result;
    throw error;
  }
}

/** @returns what could not be removed, in words */
async function cleanUp({ id, announced }: GameDayOperationInput, steps: Steps, course: Course): Promise<string | undefined> {
  const { target } = announced.input;
  const remove = (): Promise<string> => onHost(announced.host, 'remove the sandbox', { startToCloseTimeout: '30 minutes', retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds', maximumAttempts: 20 } }).removeDrill({ id, target });
  try {
    await timed(course, steps, 'clean up', remove, (text) => text);
    return undefined;
  } catch (error) {
    return factsOf(error).message;
  }
}

async function conclude(input: GameDayOperationInput, steps: Steps, course: Course, left: string | undefined, error: FailureFacts | undefined): Promise<GameDayResult> {
  const { announced } = input;
  const { plan, result, disaster, checked, closed } = course;
  const { objectives } = announced;
  const planned = result?.steps.map(stepOf) ?? [];
  const simulated = planned.filter((step) => step.way === 'simulated').map(({ id }) => id);
  const checks: GroupedCheck[] = [...(closed === undefined ? [] : [closed]), ...(checked?.checks ?? [])];
  const through = result?.status === 'completed';
  // Nothing was recovered in that time when what came back is not what it should be.
  const recovered = through && !checks.some((check) => check.outcome === 'failed' && check.group !== 'performance');
  const rtoMs = !recovered || disaster === undefined ? null : announced.detectMs + Math.max(0, Date.parse(result.endedAt) - Date.parse(disaster.at));
  const source: SourceMoment = course.source ?? { at: input.startedAt, reachable: false, marker: null, records: null };
  const rpo = !recovered || plan === undefined || checked === undefined ? null : rpoOf(source, checked.restored, plan.consistentAt);
  const missed = [...(rtoMs !== null && rtoMs > objectives.rtoMs ? (['rto'] as const) : []), ...(rpo?.rpoMs != null && rpo.rpoMs > objectives.rpoMs ? (['rpo'] as const) : [])];
  const passed = error === undefined && recovered && missed.length === 0 && !checks.some((check) => check.outcome === 'failed');
  const endedAt = new Date().toISOString();
  const base: Omit<GameDayResult, 'evidence'> = {
    schemaVersion: 1, id: input.id, plan: announced.input.plan, target: announced.input.target, disaster: announced.input.disaster, backup: plan?.restore.backup ?? null, status: passed ? 'passed' : 'failed',
    startedAt: input.startedAt, endedAt, durationMs: Date.parse(endedAt) - Date.parse(input.startedAt), rtoMs, rpoMs: rpo?.rpoMs ?? null, rpoBasis: rpo?.basis ?? 'none', objectives, missed,
    planStatus: result?.status ?? null, steps: planned, simulated, checks: checks.map(({ group: _, ...check }) => check), checklist: checklistOf(checks), phases: course.phases,
    recommendations: gameDayAdvice({ objectives, rtoMs, rpo, steps: planned, checks, planError: result?.error, planWarnings: result?.warnings ?? [], compensation: result?.compensation ?? [], planned: through, error, left, services: announced.services, hasFunctionChecks: plan?.has.functionChecks ?? true, hasMarker: plan?.has.marker ?? true }),
    warnings: [...(plan?.restore.warnings ?? []), ...(course.built?.warnings ?? []), ...(source.problem === undefined ? [] : [`the source was not asked what it has now: ${source.problem}`]), ...(rpo === null ? [] : [`RPO: ${rpo.detail}`])],
    cleanedUp: left === undefined, ...(error === undefined ? {} : { error }),
  };
  const document = gameDayDocument(base, { startedBy: announced.input.startedBy ?? 'temporal', host: announced.host, repositories: plan?.restore.repositories ?? [], planHash: announced.snapshot.hash, serverVersion: checked?.serverVersion ?? '', disasterDetail: disaster?.detail ?? null, plan: result });
  const notes: string[] = [];
  const evidence = await steps.run('record', () => lightOn(null, 'sign and store the evidence').recordEvidence({ document }), (recorded) => recorded.key).catch((problem: unknown) => {
    notes.push(`the evidence could not be stored: ${factsOf(problem).message}`);
    return undefined;
  });
  steps.tag([{ key: searchAttributes.outcome, value: base.status }]);
  return { ...base, evidence: evidence?.key ?? null, warnings: [...base.warnings, ...notes, ...(evidence?.repositories ?? []).flatMap((one) => (one.error === undefined ? [] : [`repository ${one.name} did not take the evidence: ${one.error.message}`]))] };
}
