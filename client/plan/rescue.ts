/** `rescue plan run`: a plan with Temporal gone, from its journal if it was begun before (O6). */
import { randomUUID } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import { idFromUuid } from '../../domain/ids.ts';
import { evidenceOf } from '../../domain/plan/evidence.ts';
import type { Json, PlanSnapshot } from '../../domain/plan/model.ts';
import { resultOf } from '../../domain/plan/result.ts';
import type { PlanState } from '../../domain/plan/state.ts';
import { linesOf, viewOf } from '../../domain/plan/view.ts';
import { actionsOf } from '../../activities/actions/index.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { recordEvidence } from '../../activities/evidence.activities.ts';
import { checkApprovalProof, proveApproval } from '../../activities/plan/approval.ts';
import { fenceOf } from '../../activities/plan/fence.ts';
import { planHashOf, snapshotOf } from '../../activities/plan/snapshot.ts';
import { restoreActivities } from '../../activities/restore.activities.ts';
import { createDeps } from '../../workers/deps.ts';
import { defaultHostName } from '../../workers/main.ts';
import type { CliContext } from '../cli-context.ts';
import type { PlanRunFlags } from '../commands/plan.ts';
import { exitCodeOf } from './commands.ts';
import { describeResult, describeWanted } from './describe.ts';
import { recoverInput } from './input.ts';
import { Journal, lockRun } from './journal.ts';
import { runLocally, type LocalRunOptions } from './journal-driver.ts';
import { assertPlan } from './problems.ts';

export interface RescuePlanFlags extends PlanRunFlags {
  readonly host?: string;
  readonly abort?: boolean;
  readonly retry?: string;
  readonly skip?: string[];
  readonly answer?: string;
  readonly approve?: string;
  readonly as?: string;
  readonly tokenFile?: string;
  readonly reason?: string;
}

export async function rescuePlan(context: CliContext, name: string, flags: RescuePlanFlags): Promise<number | undefined> {
  const loaded = await context.loadConfig();
  const deps: ActivityDeps = { ...createDeps(loaded, { host: flags.host ?? defaultHostName(loaded.stateDir), searchAttributes: false }), signal: context.signal };
  const release = await lockRun(loaded.stateDir, name, flags.target);
  const { Progress } = await import('../progress.ts');
  const progress = new Progress(context.output);
  try {
    const journal = Journal.open(loaded.stateDir, name, flags.target) ?? (await begin(context, deps, name, flags));
    const { snapshot, facts } = journal.head;
    if (journal.events.length > 0) context.output.note(`going on with run ${facts.id} of ${new Date(journal.events[0]?.at ?? 0).toISOString()}`);
    else context.output.note(`run ${facts.id}; when this is ended, the same command goes on with it`);
    const state = await runLocally({
      deps,
      journal,
      signal: context.signal,
      decisions: await decisionsOf(context, deps, snapshot, facts.id, flags),
      children: childrenOf(context, deps),
      onChange: (plan, now) => { progress.update({ steps: linesOf(plan, now), active: [] }); },
    });
    progress.end();
    if (state.stage !== 'ended') return showWaiting(context, snapshot, state, facts, name);
    return await finish(context, deps, journal, snapshot, state);
  } catch (error) {
    progress.end();
    if (context.signal.aborted) throw new ResurgoError('cancelled', 'stopped; the run is in its journal and goes on with the same command', { cause: error, details: { hint: `resurgo rescue plan run ${name} goes on; with --abort it undoes what was done.` } });
    throw error;
  } finally {
    progress.end();
    release();
    await deps.stores.close();
  }
}

async function begin(context: CliContext, deps: ActivityDeps, name: string, flags: RescuePlanFlags): Promise<Journal> {
  const { loaded } = deps;
  const input = recoverInput(loaded.config, name, flags);
  assertPlan(loaded, await actionsOf(deps), name);
  const snapshot = await snapshotOf(deps, name, { ...(input.target === undefined ? {} : { target: input.target }), ...(input.params === undefined ? {} : { params: input.params }) });
  const id = idFromUuid(randomUUID());
  const { startedBy } = await import('../session.ts');
  return Journal.create(loaded.stateDir, {
    type: 'begin',
    snapshot,
    facts: { id, startedBy: `rescue ${await startedBy(context.env)}`, ...(input.scenario === undefined ? {} : { scenario: input.scenario }), ...(input.incident === undefined ? {} : { incident: input.incident }) },
    mode: input.mode ?? 'graceful',
    // Newer than every run of Temporal so far: what is left of one on this host is refused.
    fence: fenceOf(Date.now(), id),
    configHash: planHashOf(loaded, name) ?? '',
  });
}

/** The same rule as with Temporal: an approval is proved by the approver's own token. */
async function decisionsOf(context: CliContext, deps: ActivityDeps, snapshot: PlanSnapshot, run: string, flags: RescuePlanFlags): Promise<LocalRunOptions['decisions']> {
  const { startedBy } = await import('../session.ts');
  const by = `rescue ${await startedBy(context.env)}`;
  const at = (): number => Date.now();
  const made: LocalRunOptions['decisions'][number][] = [];
  const known = (step: string): void => {
    if (!snapshot.steps.some(({ id }) => id === step)) throw new ResurgoError('usage', `there is no step ${step}; there are ${snapshot.steps.map(({ id }) => id).join(', ')}`);
  };
  for (const step of flags.skip ?? []) {
    known(step);
    made.push(() => ({ type: 'skip', step, by, at: at() }));
  }
  made.push((state) => (state.paused === null ? undefined : { type: 'resume', by, at: at() }));
  if (flags.retry !== undefined) {
    const step = flags.retry;
    known(step);
    made.push(() => ({ type: 'retry', step, by, at: at() }));
  }
  if (flags.answer !== undefined) {
    const [step = '', answer] = flags.answer.split('=');
    known(step);
    if (answer !== 'applied' && answer !== 'notApplied') throw new ResurgoError('usage', '--answer STEP=applied or STEP=notApplied');
    made.push(() => ({ type: 'answer', step, answer, by, at: at() }));
  }
  if (flags.abort === true) made.push(() => ({ type: 'abort', by, at: at(), ...(flags.reason === undefined ? {} : { reason: flags.reason }) }));
  if (flags.approve !== undefined) {
    const step = flags.approve;
    known(step);
    const { as } = flags;
    if (as === undefined) throw new ResurgoError('usage', '--approve needs --as NAME');
    const { approverToken } = await import('./steer.ts');
    const token = await approverToken(context, flags);
    checkApprovalProof(deps.loaded.config, { run, step, hash: '', as, decision: 'approve', proof: proveApproval(token, { run, step, hash: '', as, decision: 'approve' }) });
    made.push((state) => {
      const hash = state.steps[step]?.phase === 'approval' ? state.steps[step].resolved?.hash : undefined;
      return hash === undefined ? undefined : { type: 'approved', step, as, hash, at: at() };
    });
  }
  return made;
}

/** Restores have a way without Temporal of their own; backups have not. */
function childrenOf(context: CliContext, deps: ActivityDeps): LocalRunOptions['children'] {
  return {
    restore: async (given) => {
      const { target, startedBy: _, ...input } = given as { target: string; startedBy?: string };
      const { rescueRestore } = await import('../rescue.ts');
      const result = await rescueRestore({ target, loadConfig: () => context.loadConfig(), input, signal: context.signal, onProgress: () => undefined, onStep: () => undefined, onNote: (text) => { context.output.note(text); } });
      return JSON.parse(JSON.stringify(result)) as Record<string, Json>;
    },
    finishRestore: async (given) => JSON.parse(JSON.stringify(await restoreActivities(deps).finishInPlace(given as never))) as Record<string, Json>,
  };
}

function showWaiting(context: CliContext, snapshot: PlanSnapshot, state: PlanState, facts: Journal['head']['facts'], name: string): number {
  const view = viewOf(snapshot, state, facts, '', Date.now());
  const again = `resurgo rescue plan run ${name}${snapshot.target === undefined ? '' : ` --target ${snapshot.target}`}`;
  const how = [
    ...view.approvals.map(({ step }) => `${again} --approve ${step} --as NAME`),
    ...(view.held === null ? [] : view.held.why === 'unknown' ? [`${again} --answer ${view.held.step}=applied (or =notApplied)`, `${again} --abort`] : [`${again} --retry ${view.held.step}`, `${again} --skip ${view.held.step}`, `${again} --abort`]),
  ];
  context.output.result(view, () => describeResult(view));
  context.output.error(`run ${facts.id} waits for a person; ${describeWanted(view)[0] ?? 'it is paused'}`, how.join('\n      '));
  return 5;
}

async function finish(context: CliContext, deps: ActivityDeps, journal: Journal, snapshot: PlanSnapshot, state: PlanState): Promise<number | undefined> {
  let result = resultOf(snapshot, state, journal.head.facts, Date.now());
  try {
    const { key } = await recordEvidence(deps, { document: evidenceOf(result, { drivenBy: 'rescue' }) });
    result = { ...result, evidence: key };
  } catch (error) {
    result = { ...result, warnings: [...result.warnings, `the record could not be written into a repository: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const kept = journal.close();
  context.output.note(`journal: ${kept}`);
  context.output.result(result, () => describeResult(result));
  if (result.error !== undefined) context.output.error(result.error.message, result.error.hint ?? '');
  return exitCodeOf(result);
}
