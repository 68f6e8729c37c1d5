import { CancellationScope, CancelledFailure, isCancellation, uuid4, workflowInfo } from '@temporalio/workflow';
import { checklistOf, rpoOf, type DrillInput, type DrillResult, type RpoResult, type RtoSplit, type SourceMoment } from '../domain/drill.ts';
import { recommendationsOf } from '../domain/drill-advice.ts';
import { drillDocument } from '../domain/drill-evidence.ts';
import type { EvidencePhase } from '../domain/evidence.ts';
import { idFromUuid, lockIds } from '../domain/ids.ts';
import type { Activities } from '../activities/index.ts';
import { bulkOnHost, local, lightOn, onHost } from './activity-profiles.ts';
import { factsOf, failure, rethrow, type FailureFacts } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { recorded } from './record-run.ts';
import { Checklist as Steps, searchAttributes } from './progress.ts';

type Plan = Awaited<ReturnType<Activities['planDrill']>>;
type Built = Awaited<ReturnType<Activities['buildDrill']>>;
type Checked = Awaited<ReturnType<Activities['checkDrill']>>;

export interface DrillOperationInput {
  readonly id: string;
  readonly target: string;
  readonly backup: string | null;
  readonly time: string | null;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly host: string;
  readonly engine: string;
  readonly timeoutMs: number;
  readonly objectives: { readonly rtoMs: number; readonly rpoMs: number };
  readonly searchAttributes: boolean;
}

/**
 * Restore drill of a target (D1). Public: `{"target":"shop"}`. One drill of a target at a time (child `drill/<target>`), apart from restores and backups, which
 * it neither waits for nor holds up. Query: `steps`. Ends with a {@link DrillResult}, also when the restore failed: a failed drill is a result with evidence.
 */
export async function drill(input: DrillInput): Promise<DrillResult> {
  try {
    // A person may start it without any input.
    const steps = new Steps(`Restore drill of ${String((input as DrillInput | undefined)?.target)}`, ['validate input', 'run']);
    const announced = await steps.run('validate input', () => local.announceDrill(input));
    steps.enableAttributes(announced.searchAttributes);
    const id = idFromUuid(uuid4());
    const { target } = announced.input;
    steps.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'drill' }]);
    const operation: DrillOperationInput = {
      id, target, backup: announced.input.backup ?? null, time: announced.input.time ?? null, startedBy: announced.input.startedBy ?? 'temporal', startedAt: new Date(workflowInfo().startTime).toISOString(),
      host: announced.host, engine: announced.engine, timeoutMs: announced.timeoutMs, objectives: announced.objectives, searchAttributes: announced.searchAttributes,
    };
    const result = await steps.run('run', () => runLocked<typeof drillOperation>('drillOperation', [operation], { lockId: lockIds.drill(target), summary: `restore drill ${id} of ${target}`, onBusy: 'refuse' }), (done) => (done === skipped ? undefined : done.status));
    if (result === skipped) throw failure('lockBusy', `another drill of ${target} is running`);
    return result;
  } catch (error) {
    rethrow(error);
  }
}

/** What is known when the steps have ended, however they did. */
interface Course {
  plan?: Plan;
  built?: Built;
  checked?: Checked;
  /** By the clock of the run, attempts that died included: what a recovery would have taken. */
  decideMs: number;
  buildMs: number;
  checkMs: number;
  source: SourceMoment | undefined;
}

/** Holds `drill/<target>`. Whatever happens, what was built is removed before it ends. */
export async function drillOperation(input: DrillOperationInput): Promise<DrillResult> {
  return recorded({ target: input.target, operation: 'drill', host: input.host, startedBy: input.startedBy }, () => drillSteps(input), ({ status }) => status === 'passed');
}

async function drillSteps(input: DrillOperationInput): Promise<DrillResult> {
  const steps = new Steps(`Restore drill ${input.id} of ${input.target}`, ['choose the backup', 'fetch and build', 'check and measure', 'clean up', 'record']);
  steps.enableAttributes(input.searchAttributes);
  steps.tag([{ key: searchAttributes.target, value: input.target }, { key: searchAttributes.operation, value: 'drill' }]);
  const course: Course = { decideMs: 0, buildMs: 0, checkMs: 0, source: undefined };
  let error: FailureFacts | undefined;
  let cancelled = false;
  const scope = CancellationScope.current();
  try {
    await CancellationScope.withTimeout(input.timeoutMs, () => run(input, steps, course));
  } catch (caught) {
    cancelled = CancellationScope.current().consideredCancelled;
    error = cancelled ? undefined : isCancellation(caught) ? { code: 'drillTimeout', message: `The drill was ended after ${String(Math.round(input.timeoutMs / 1000))} s.` } : factsOf(caught);
  }
  return CancellationScope.nonCancellable(async () => {
    const cleaned = await cleanUp(input, steps);
    if (cancelled) {
      steps.tag([{ key: searchAttributes.outcome, value: 'cancelled' }]);
      // A run that closes as cancelled has no words of its own: what is left for a person would be lost.
      if (cleaned.left !== undefined) throw failure('compensationFailed', `The drill was cancelled, and what it had built could not be removed: ${cleaned.left}`);
      throw new CancelledFailure('The drill was cancelled; what it had built is removed.');
    }
    // What the drill found stands, whoever wants to stop it now.
    return conclude(input, steps, course, cleaned, error, () => (scope.consideredCancelled ? ['a cancel request came when the drill had its verdict: nothing was cut short'] : []));
  });
}

async function run(input: DrillOperationInput, steps: Steps, course: Course): Promise<void> {
  const { id, target, host, startedAt, startedBy } = input;
  // The source is asked beside the drill, which waits for nothing of it until the data is there.
  const observed = onHost(host, `what ${target} has now`, { startToCloseTimeout: '3 minutes', retry: { maximumAttempts: 2 } }).observeSource({ target }).catch(() => undefined);
  const since = Date.now();
  const plan = await steps.run('choose the backup', () => onHost(host, `choose the backup of ${target}, check keys and space`, { startToCloseTimeout: '30 minutes' }).planDrill({ id, target, startedAt, startedBy, ...(input.backup === null ? {} : { backup: input.backup }), ...(input.time === null ? {} : { time: input.time }) }), (made) => `${made.restore.backup} from ${made.restore.repositories.join(', ')}`);
  course.plan = plan;
  course.decideMs = Date.now() - since;
  const planned = Date.now();
  course.built = await steps.run('fetch and build', () => bulkOnHost(host, `fetch and build backup ${plan.restore.backup} of ${target} in isolation`, few).buildDrill(plan), (built) => `${(built.bytes / 1048576).toFixed(1)} MiB in ${String(built.files)} files`);
  const built = Date.now();
  course.buildMs = built - planned;
  course.checked = await steps.run('check and measure', () => bulkOnHost(host, `check and measure what was built`, few).checkDrill(plan), (checked) => `${String(checked.checks.filter((check) => check.outcome === 'passed').length)} of ${String(checked.checks.length)} checks passed`);
  course.checkMs = Date.now() - built;
  course.source = await observed;
}

/** A drill that does not come through is a finding; it is not tried for days. */
const few = { retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '30 seconds', maximumAttempts: 4 } } as const;

interface Cleaned {
  readonly phase: EvidencePhase;
  readonly left?: string;
}

async function cleanUp({ id, target, host }: DrillOperationInput, steps: Steps): Promise<Cleaned> {
  const since = Date.now();
  const phase = (outcome: EvidencePhase['outcome'], detail: string): EvidencePhase => ({ phase: 'clean up', startedAt: new Date(since).toISOString(), durationMs: Date.now() - since, outcome, detail });
  try {
    const detail = await steps.run('clean up', () => onHost(host, 'remove what the drill built', { startToCloseTimeout: '30 minutes', retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '30 seconds', maximumAttempts: 20 } }).removeDrill({ id, target }), (text) => text);
    return { phase: phase('completed', detail) };
  } catch (error) {
    const { message } = factsOf(error);
    return { phase: phase('failed', message), left: message };
  }
}

async function conclude(input: DrillOperationInput, steps: Steps, course: Course, cleaned: Cleaned, error: FailureFacts | undefined, late: () => string[]): Promise<DrillResult> {
  const { plan, built, checked } = course;
  // A point in time that was asked for stands for the disaster: what came after it was not wanted.
  const source: SourceMoment = plan?.wanted !== undefined ? { at: new Date(plan.wanted).toISOString(), reachable: false, marker: null, records: null } : course.source ?? { at: input.startedAt, reachable: false, marker: null, records: null };
  const phases: EvidencePhase[] = [
    { phase: 'decide', startedAt: input.startedAt, durationMs: course.decideMs, outcome: plan === undefined ? 'failed' : 'completed', detail: plan === undefined ? (error?.message ?? '') : `backup ${plan.restore.backup} from ${plan.restore.repositories.join(', ')}` },
    ...(built?.phases ?? []), ...(checked?.phases ?? []), cleaned.phase,
  ];
  const rto = plan === undefined || built === undefined || checked === undefined ? null : splitOf(plan, course, checked, [...built.phases, ...checked.phases]);
  const rtoMs = rto === null ? null : rto.detect + rto.decide + rto.fetch + rto.restore + rto.verify;
  const rpo: RpoResult | null = plan === undefined || checked === undefined ? null : rpoOf(source, checked.restored, plan.consistentAt);
  const { objectives } = input;
  const checks = checked?.checks ?? [];
  const missed = [...(rtoMs !== null && rtoMs > objectives.rtoMs ? (['rto'] as const) : []), ...(rpo?.rpoMs != null && rpo.rpoMs > objectives.rpoMs ? (['rpo'] as const) : [])];
  const sound = error === undefined && !checks.some((check) => check.outcome === 'failed' && check.group !== 'performance');
  const passed = error === undefined && missed.length === 0 && rpo !== null && rpo.rpoMs !== null && !checks.some((check) => check.outcome === 'failed');
  const endedAt = new Date().toISOString();
  const askedLate = late();
  const base = {
    schemaVersion: 1 as const, id: input.id, target: input.target, engine: input.engine, backup: plan?.restore.backup ?? null, status: passed ? ('passed' as const) : ('failed' as const),
    startedAt: input.startedAt, endedAt, durationMs: Date.parse(endedAt) - Date.parse(input.startedAt), rtoMs, rto, rpoMs: rpo?.rpoMs ?? null, rpoBasis: rpo?.basis ?? ('none' as const),
    recoveredTo: rpo?.recoveredTo ?? null, dataLossRatio: rpo?.dataLossRatio ?? null, objectives, missed, checks: checks.map(({ group: _, ...check }) => check), performance: checked?.performance ?? [],
    phases, checklist: checklistOf(error !== undefined && plan !== undefined ? [...checks, { group: plan.database === '' ? 'files' : 'restore', name: 'restore', outcome: 'failed', detail: error.message }] : checks),
    recommendations: recommendationsOf({
      objectives, rto, rtoMs, rpo, checks, error, scheduleGapMs: plan?.scheduleGapMs ?? null, chainLength: plan?.restore.chain.length ?? 0, repositories: plan?.restore.repositories ?? [],
      tablesWithoutStatistics: checked?.tablesWithoutStatistics ?? 0, hasMarker: plan?.has.marker ?? true, hasFunctionChecks: plan?.database === '' || (plan?.has.functionChecks ?? true),
      hasPerformance: plan?.database === '' || (plan?.has.performance ?? true), cleanedUp: cleaned.left === undefined, left: cleaned.left,
    }),
    warnings: [...(plan?.restore.warnings ?? []), ...(built?.warnings ?? []), ...(source.problem === undefined ? [] : [`the source was not asked what it has now: ${source.problem}`]), ...(rpo === null ? [] : [`RPO: ${rpo.detail}`]), ...askedLate],
    cleanedUp: cleaned.left === undefined,
    ...(error === undefined ? {} : { error }),
  };
  const notes: string[] = [];
  let proven = false;
  if (sound && plan !== undefined) {
    proven = await onHost(input.host, `note that backup ${plan.restore.backup} is proven`).proveBackup({ plan, facts: { rtoMs, rpoMs: base.rpoMs, checks: checks.length } }).then(() => true, (problem: unknown) => {
      notes.push(`that the backup is proven could not be noted: ${factsOf(problem).message}`);
      return false;
    });
  }
  const document = drillDocument(base, {
    startedBy: input.startedBy, host: input.host, repositories: plan?.restore.repositories ?? [], chain: plan?.restore.chain.map((link) => link.id) ?? [], bytes: built?.bytes ?? null, files: built?.files ?? null,
    serverVersion: checked?.serverVersion ?? '', sourceReachable: course.source?.reachable ?? null,
  });
  const evidence = await steps.run('record', () => lightOn(null, 'sign and store the evidence').recordEvidence({ document }), (recorded) => recorded.key).catch((problem: unknown) => {
    notes.push(`the evidence could not be stored: ${factsOf(problem).message}`);
    return undefined;
  });
  steps.tag([{ key: searchAttributes.outcome, value: base.status }]);
  return { ...base, proven, evidence: evidence?.key ?? null, warnings: [...base.warnings, ...(askedLate.length === 0 ? late() : []), ...notes, ...(evidence?.repositories ?? []).flatMap((one) => (one.error === undefined ? [] : [`repository ${one.name} did not take the evidence: ${one.error.message}`]))] };
}

/**
 * Fetching is one part, everything until a server answers another, until the last functional check the third; what comes later does not count. Time that
 * dead attempts and waiting took is part of the restore: it would be of a real one.
 */
function splitOf(plan: Plan, course: Course, checked: Checked, phases: readonly EvidencePhase[]): RtoSplit {
  const sum = (name: string): number => phases.filter(({ phase }) => phase === name).reduce((total, { durationMs }) => total + durationMs, 0);
  const [fetch, verify] = [sum('fetch'), sum('verify')];
  const untilVerified = course.buildMs + Math.max(verify, course.checkMs - checked.afterVerifyMs);
  return { detect: plan.detectMs, decide: course.decideMs, fetch, restore: Math.max(0, untilVerified - fetch - verify), verify };
}
