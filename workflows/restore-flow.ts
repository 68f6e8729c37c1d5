/**
 * The restore plan: steps in order, compensations in reverse. It knows nothing of Temporal: the workflow and `resurgo rescue`
 * drive the same code with their own way of calling a step (docs/adr/0002-one-restore-flow.md).
 */
import type { RestoreInput, RestorePlan, RestoreResult, RestoreStep, RestoreVerification, StepOutcome } from '../domain/operations.ts';
import type { ErrorCode } from '../domain/errors.ts';

export interface BuiltRestore {
  readonly bytes: number;
  readonly files: number;
  readonly records: number | null;
  /** What was checked while it was built, in words. */
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
}

/** What the flow calls; each is idempotent, so that a crashed step can be called again. */
export interface RestoreSteps {
  planRestore(input: RestoreInput & { readonly id: string; readonly startedAt: string }): Promise<RestorePlan>;
  /** Fetch and build beside whatever is in use. */
  buildRestore(plan: RestorePlan): Promise<BuiltRestore>;
  verifyRestore(plan: RestorePlan): Promise<RestoreVerification>;
  stopServices(plan: RestorePlan): Promise<string>;
  startServices(plan: RestorePlan): Promise<string>;
  healthCheck(plan: RestorePlan): Promise<string>;
  swapIn(plan: RestorePlan): Promise<{ readonly kept?: string }>;
  swapBack(plan: RestorePlan): Promise<string>;
  /** Makes a beside or in-place build final (rename from its working name), or removes a scratch one. */
  settleRestore(plan: RestorePlan): Promise<string>;
  /** Removes what `buildRestore` made. */
  discardRestore(plan: RestorePlan): Promise<string>;
  recordRestore(record: { readonly plan: RestorePlan; readonly result: RestoreResult }): Promise<void>;
}

export interface FlowHost {
  /** Seconds do not matter here: ISO time of now, replay-safe in a workflow. */
  now(): string;
  /** Called whenever a step changes; the driver shows it. */
  show(name: string, state: 'in progress' | 'completed' | 'failed' | 'skipped' | 'compensated', detail?: string): void;
  /** Runs compensation so that a cancel cannot interrupt it. */
  shielded<T>(work: () => Promise<T>): Promise<T>;
  describe(error: unknown): { readonly code: ErrorCode; readonly message: string; readonly hint?: string };
}

/** Names of the steps in order, for checklists. */
export const restoreStepNames = (mode: RestoreInput['mode']): string[] =>
  mode === 'in-place'
    ? ['validate', 'fetch and build', 'verify', 'stop services', 'safety copy', 'start services', 'health check']
    : mode === 'scratch'
      ? ['validate', 'fetch and build', 'verify', 'remove scratch']
      : ['validate', 'fetch and build', 'verify', 'settle'];

interface Compensation {
  readonly name: string;
  readonly undo: () => Promise<string>;
}

class Flow {
  readonly steps: RestoreStep[] = [];
  readonly warnings: string[] = [];
  private readonly compensations: Compensation[] = [];
  private readonly host: FlowHost;

  constructor(host: FlowHost) {
    this.host = host;
  }

  private note(name: string, critical: boolean, outcome: StepOutcome, since: string, detail?: string): void {
    const durationMs = Date.parse(this.host.now()) - Date.parse(since);
    this.steps.push(detail === undefined ? { name, critical, outcome, durationMs } : { name, critical, outcome, durationMs, detail });
  }

  /** Registers `undo` before the step is attempted: a step that fails half-way is undone too. */
  async critical<T>(name: string, work: () => Promise<T>, options: { undo?: Compensation; detail?: (value: T) => string | undefined } = {}): Promise<T> {
    if (options.undo !== undefined) this.compensations.unshift(options.undo);
    const since = this.host.now();
    this.host.show(name, 'in progress');
    try {
      const value = await work();
      const detail = options.detail?.(value);
      this.note(name, true, 'completed', since, detail);
      this.host.show(name, 'completed', detail);
      return value;
    } catch (error) {
      const { message } = this.host.describe(error);
      this.note(name, true, 'failed', since, message);
      this.host.show(name, 'failed', message);
      throw error;
    }
  }

  skip(name: string, why: string): void {
    this.steps.push({ name, critical: false, outcome: 'skipped', durationMs: 0, detail: why });
    this.host.show(name, 'skipped', why);
  }

  /** Undoes in reverse order; returns what could not be undone. */
  async compensate(): Promise<string[]> {
    const left: string[] = [];
    for (const { name, undo } of this.compensations) {
      const since = this.host.now();
      try {
        const detail = await undo();
        this.note(name, false, 'compensated', since, detail);
        this.host.show(name, 'compensated', detail);
      } catch (error) {
        const { message } = this.host.describe(error);
        left.push(`${name}: ${message}`);
        this.note(name, false, 'compensation-failed', since, message);
        this.host.show(name, 'failed', message);
      }
    }
    this.compensations.length = 0;
    return left;
  }
}

const withChecks = (verification: RestoreVerification, more: readonly string[]): RestoreVerification => ({ ...verification, checks: [...more, ...verification.checks] });

/** Carries the finished {@link RestoreResult} of a restore that failed. */
export class RestoreFailed extends Error {
  readonly result: RestoreResult;
  readonly original: unknown;

  constructor(result: RestoreResult, original: unknown) {
    super(result.error?.message ?? 'restore failed');
    this.result = result;
    this.original = original;
  }
}

/**
 * Runs a restore to its end.
 * @throws RestoreFailed with the full result when a critical step failed (everything done was undone, or the result says what was not)
 */
export async function restoreFlow(input: RestoreInput & { readonly id: string; readonly startedAt: string }, steps: RestoreSteps, host: FlowHost): Promise<RestoreResult> {
  const flow = new Flow(host);
  let plan: RestorePlan | undefined;
  let built: BuiltRestore | undefined;
  let verification: RestoreVerification | null = null;
  let kept: string | undefined;

  const resultOf = (status: RestoreResult['status'], error?: RestoreResult['error']): RestoreResult => {
    const endedAt = host.now();
    const executed = flow.steps.filter((step) => step.outcome === 'completed' || step.outcome === 'failed');
    const done = status === 'restored' || status === 'restored-with-warnings';
    return {
      schemaVersion: 1,
      id: input.id,
      target: input.target,
      backup: plan?.backup ?? input.backup ?? 'latest',
      mode: plan?.mode ?? input.mode ?? 'beside',
      destination: plan?.destination ?? input.to ?? '',
      status,
      startedAt: input.startedAt,
      endedAt,
      durationMs: Date.parse(endedAt) - Date.parse(input.startedAt),
      steps: flow.steps,
      stepsExecuted: executed.length,
      stepsSuccessful: executed.filter((step) => step.outcome === 'completed').length,
      restoredRecords: done ? (built?.records ?? null) : null,
      recoveredTo: done ? (plan?.recoversTo ?? null) : null,
      verification,
      warnings: [...(plan?.warnings ?? []), ...(built?.warnings ?? []), ...flow.warnings],
      ...(error === undefined ? {} : { error }),
      ...(kept === undefined || !done ? {} : { kept }),
      ...(plan === undefined ? {} : { plan }),
    };
  };

  try {
    plan = await flow.critical('validate', () => steps.planRestore(input), { detail: (made) => `backup ${made.backup} from ${made.repositories.join(', ')}` });
    if (input.preview === true) return resultOf('preview');
    const made = plan;
    built = await flow.critical('fetch and build', () => steps.buildRestore(made), {
      undo: { name: 'remove what was built', undo: () => steps.discardRestore(made) },
      detail: (value) => `${(value.bytes / 1048576).toFixed(1)} MiB in ${value.files} files`,
    });
    const checkedWhileBuilding = built.checks;
    verification = await flow.critical('verify', async () => withChecks(await steps.verifyRestore(made), checkedWhileBuilding), { detail: (value) => value.checks.join(', ') });
    if (made.mode === 'in-place') {
      if (made.stopsServices) {
        await flow.critical('stop services', () => steps.stopServices(made), { undo: { name: 'start services again', undo: () => steps.startServices(made) }, detail: (text) => text });
      } else flow.skip('stop services', 'not needed');
      const swapped = await flow.critical('safety copy', () => steps.swapIn(made), {
        undo: { name: 'bring the old data back', undo: () => steps.swapBack(made) },
        detail: (value) => (value.kept === undefined ? 'there was nothing to keep' : `old data kept as ${value.kept}`),
      });
      kept = swapped.kept;
      if (made.stopsServices) await flow.critical('start services', () => steps.startServices(made), { undo: { name: 'stop services', undo: () => steps.stopServices(made) }, detail: (text) => text });
      else flow.skip('start services', 'not needed');
      await flow.critical('health check', () => steps.healthCheck(made), { detail: (text) => text });
    } else {
      await flow.critical(made.mode === 'scratch' ? 'remove scratch' : 'settle', () => steps.settleRestore(made), { detail: (text) => text });
    }
    // Older data than was meant is worth an exit code of its own.
    const result = resultOf(flow.warnings.length > 0 || made.passedOver !== undefined ? 'restored-with-warnings' : 'restored');
    try {
      await host.shielded(() => steps.recordRestore({ plan: made, result }));
    } catch (error) {
      return { ...result, status: 'restored-with-warnings', warnings: [...result.warnings, `the record of this restore could not be written: ${host.describe(error).message}`] };
    }
    return result;
  } catch (error) {
    const facts = host.describe(error);
    const left = await host.shielded(() => flow.compensate());
    const failedResult = resultOf(
      left.length > 0 ? 'failed' : plan === undefined ? 'failed' : 'compensated',
      left.length > 0
        ? { code: 'compensationFailed', message: `${facts.message}; not undone: ${left.join('; ')}` }
        : { code: facts.code, message: facts.message, ...(facts.hint === undefined ? {} : { hint: facts.hint }) },
    );
    if (plan !== undefined) {
      const failedPlan = plan;
      await host.shielded(() => steps.recordRestore({ plan: failedPlan, result: failedResult }).catch(() => undefined));
    }
    throw new RestoreFailed(failedResult, error);
  }
}
