/** The steps of a flow with their outcome, and what undoes them until the point of no return. Knows nothing of Temporal. */
import type { FailoverStep, FailoverStepOutcome } from '../domain/failover.ts';
import type { FlowHost as BaseHost } from './restore-flow.ts';

export interface FlowHost extends BaseHost {
  /** Throws on what a flow must not take for an outcome of a step: a cancel. */
  passOn(error: unknown): void;
}

interface Undo {
  readonly name: string;
  readonly undo: () => Promise<string>;
  /** Asked when the time comes: undefined counts as yes. */
  readonly needed: (() => boolean) | undefined;
}

type Shown<T> = { readonly detail?: (value: T) => string | undefined };

export class StepLog {
  readonly steps: FailoverStep[] = [];
  /** A step beyond the first was begun. */
  touched = false;
  private readonly host: FlowHost;
  private undos: Undo[] = [];

  constructor(host: FlowHost) {
    this.host = host;
  }

  private note(name: string, critical: boolean, outcome: FailoverStepOutcome, since: string, detail?: string): void {
    const durationMs = Date.parse(this.host.now()) - Date.parse(since);
    this.steps.push({ name, critical, outcome, durationMs, startedAt: since, ...(detail === undefined ? {} : { detail }) });
    this.host.show(name, outcome === 'compensation-failed' ? 'failed' : outcome, detail);
  }

  private async attempt<T>(name: string, critical: boolean, work: () => Promise<T>, shown: Shown<T>): Promise<T> {
    const since = this.host.now();
    this.touched ||= this.steps.length > 0;
    this.host.show(name, 'in progress');
    try {
      const value = await work();
      this.note(name, critical, 'completed', since, shown.detail?.(value));
      return value;
    } catch (error) {
      this.note(name, critical, 'failed', since, this.host.describe(error).message);
      throw error;
    }
  }

  run<T>(name: string, work: () => Promise<T>, shown: Shown<T> = {}): Promise<T> {
    return this.attempt(name, true, work, shown);
  }

  /** A step whose failure does not stop the rest; undefined when it failed. */
  async try<T>(name: string, work: () => Promise<T>, shown: Shown<T> = {}): Promise<T | undefined> {
    try {
      return await this.attempt(name, false, work, shown);
    } catch (error) {
      this.host.passOn(error);
      return undefined;
    }
  }

  /** Critical, beside others: its failure is returned, so that the others end first. */
  async settle<T>(name: string, work: () => Promise<T>, shown: Shown<T> = {}): Promise<T | Error> {
    try {
      return await this.attempt(name, true, work, shown);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  skip(name: string, why: string): void {
    this.note(name, false, 'skipped', this.host.now(), why);
  }

  /** Registered before the step it undoes is attempted. */
  onFailure(name: string, undo: () => Promise<string>, needed?: () => boolean): void {
    this.undos.unshift({ name, undo, needed });
  }

  pointOfNoReturn(): void {
    this.undos = [];
  }

  /** Undoes in reverse. */
  async undo(): Promise<{ left: string[]; undone: number }> {
    const left: string[] = [];
    let undone = 0;
    for (const { name, undo, needed } of this.undos.splice(0)) {
      if (needed?.() === false) continue;
      const since = this.host.now();
      try {
        this.note(name, false, 'compensated', since, await undo());
        undone++;
      } catch (error) {
        const { message } = this.host.describe(error);
        left.push(`${name}: ${message}`);
        this.note(name, false, 'compensation-failed', since, message);
      }
    }
    return { left, undone };
  }
}
