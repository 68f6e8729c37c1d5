import type { EvidencePhase } from '../../domain/evidence.ts';
import type { OnProgress } from '../../domain/ports.ts';

/** Times phases by the progress that passes: a report of another phase ends the one before. */
export class PhaseClock {
  readonly phases: EvidencePhase[] = [];
  private current: { readonly phase: string; readonly startedAt: string; readonly since: number; detail?: string } | undefined;
  private readonly report: OnProgress;

  constructor(report: OnProgress) {
    this.report = report;
  }

  /** Stands for the progress function of a provider; `rename` tells what a phase is called in the drill. */
  follow(rename: (phase: string) => string): OnProgress {
    return (progress) => {
      const phase = rename(progress.phase);
      if (this.current?.phase !== phase) this.begin(phase);
      this.report({ ...progress, phase });
    };
  }

  begin(phase: string): void {
    this.end();
    this.current = { phase, startedAt: new Date().toISOString(), since: performance.now() };
    this.report({ phase });
  }

  note(detail: string): void {
    if (this.current !== undefined) this.current.detail = detail;
  }

  end(outcome: EvidencePhase['outcome'] = 'completed'): void {
    if (this.current === undefined) return;
    const { phase, startedAt, since, detail } = this.current;
    this.phases.push({ phase, startedAt, durationMs: Math.round(performance.now() - since), outcome, ...(detail === undefined ? {} : { detail }) });
    this.current = undefined;
  }
}
