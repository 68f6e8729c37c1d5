import { formatBytes, formatDuration } from '../config/units.ts';
import type { ProgressReport } from '../domain/ports.ts';
import type { Output } from './output.ts';
import { RateMeter } from './rate.ts';
import { cut, oneLine } from './text.ts';

export interface ProgressStep {
  readonly name: string;
  readonly state: 'pending' | 'in progress' | 'completed' | 'failed' | 'skipped' | 'compensated' | 'unknown';
  readonly detail?: string;
}

export interface ActiveWork {
  readonly activity: string;
  readonly attempt: number;
  readonly progress?: ProgressReport;
  /** Why the attempt before this one ended. */
  readonly lastFailure?: string;
}

/** What a run is doing at a moment; `FollowState` of client/follow.ts is one. */
export interface ProgressState {
  readonly steps: readonly ProgressStep[];
  readonly active: readonly ActiveWork[];
}

const marks: Readonly<Record<ProgressStep['state'], string>> = {
  pending: '·',
  'in progress': '▸',
  completed: '✓',
  failed: '✗',
  skipped: '-',
  compensated: '↩',
  unknown: '?',
};
const words: Readonly<Record<ProgressStep['state'], string>> = {
  pending: 'waits',
  'in progress': 'begins',
  completed: 'done',
  failed: 'failed',
  skipped: 'skipped',
  compensated: 'undone',
  unknown: 'outcome unknown',
};

export interface ProgressOptions {
  /** Clock, ms. */
  readonly now?: () => number;
  /** Between two lines of the same step where nothing can be redrawn. Default 15 000. */
  readonly lineIntervalMs?: number;
}

/**
 * Shows how far a run is: redrawn in place on a terminal, else plain lines when something changes and at intervals.
 * Writes to stderr only, and nothing at all with `--quiet`.
 */
export class Progress {
  private readonly output: Output;
  private readonly now: () => number;
  private readonly lineIntervalMs: number;
  private readonly meters = new Map<string, RateMeter>();
  private readonly told = new Map<string, string>();
  private state: ProgressState = { steps: [], active: [] };
  private drawnLines = 0;
  private lastLine: number;
  private timer: NodeJS.Timeout | undefined;

  constructor(output: Output, options: ProgressOptions = {}) {
    this.output = output;
    this.now = options.now ?? Date.now;
    this.lineIntervalMs = options.lineIntervalMs ?? 15_000;
    this.lastLine = this.now();
    if (output.live) {
      output.onBeforeWrite(() => this.clear());
      this.timer = setInterval(() => this.draw(), 200);
      this.timer.unref();
    }
  }

  update(state: ProgressState): void {
    this.state = state;
    const keys = new Set<string>();
    for (const work of state.active) {
      const key = meterKey(work);
      keys.add(key);
      if (work.progress?.doneBytes === undefined) continue;
      const meter = this.meters.get(key) ?? new RateMeter();
      this.meters.set(key, meter);
      meter.add(work.progress.doneBytes, this.now());
    }
    for (const key of this.meters.keys()) if (!keys.has(key)) this.meters.delete(key);
    if (this.output.live) this.draw();
    else if (!this.output.quiet) this.tell();
  }

  /** Ends the display. On a terminal the finished steps stay visible. */
  end(): void {
    clearInterval(this.timer);
    if (!this.output.live) return;
    this.state = { steps: this.state.steps, active: [] };
    this.draw();
    this.drawnLines = 0;
    this.output.onBeforeWrite(undefined);
  }

  private clear(): void {
    if (this.drawnLines > 0) this.output.raw(`\u001b[${this.drawnLines}A\u001b[J`);
    this.drawnLines = 0;
  }

  private draw(): void {
    const width = this.output.width - 1;
    const all = [
      ...this.state.steps.map((step) => {
        const line = cut(
          `${marks[step.state]} ${oneLine(step.name)}${step.detail === undefined ? '' : `  ${oneLine(step.detail)}`}`,
          width,
        );
        return step.state === 'pending'
          ? this.output.style(line, 'dim')
          : step.state === 'failed'
            ? this.output.style(line, 'red')
            : line;
      }),
      ...this.state.active.flatMap((work) => this.describe(work, width).map((line) => cut(`    ${line}`, width))),
    ];
    // What is higher than the screen cannot be redrawn: its newest end is shown.
    const lines = all.slice(-(this.output.height - 1));
    const before = this.drawnLines > 0 ? `\u001b[${this.drawnLines}A\r` : '';
    this.output.raw(`${before}${lines.map((line) => `${line}\u001b[K\n`).join('')}\u001b[J`);
    this.drawnLines = lines.length;
  }

  private tell(): void {
    let said = false;
    for (const step of this.state.steps) {
      if (step.state === 'pending' || this.told.get(step.name) === step.state) continue;
      this.told.set(step.name, step.state);
      this.output.note(
        `${oneLine(step.name)}: ${words[step.state]}${step.detail === undefined ? '' : ` (${oneLine(step.detail)})`}`,
      );
      said = true;
    }
    for (const work of this.state.active) {
      const key = `!${work.activity}`;
      const trouble = work.attempt > 1 && work.lastFailure !== undefined ? `${work.attempt} ${work.lastFailure}` : '';
      if (trouble === '' || this.told.get(key) === trouble) continue;
      this.told.set(key, trouble);
      this.output.note(`${work.activity}: attempt ${work.attempt}, after: ${oneLine(work.lastFailure ?? '')}`);
      said = true;
    }
    if (said) this.lastLine = this.now();
    if (this.now() - this.lastLine < this.lineIntervalMs) return;
    this.lastLine = this.now();
    for (const work of this.state.active) this.output.note(this.describe(work, undefined).join('; '));
  }

  /** @param width draws a bar within these columns */
  private describe(work: ActiveWork, width: number | undefined): string[] {
    const { progress } = work;
    const lines: string[] = [];
    const meter = this.meters.get(meterKey(work));
    if (progress) {
      const { doneBytes, totalBytes } = progress;
      const known = doneBytes !== undefined && totalBytes !== undefined && totalBytes > 0;
      const share = known ? Math.min(1, doneBytes / totalBytes) : undefined;
      const rate = meter?.bytesPerSecond();
      const left = meter?.remainingMs(totalBytes);
      const parts = [
        share !== undefined && width !== undefined && width >= 70 ? bar(share, 20) : undefined,
        share === undefined ? undefined : `${Math.floor(share * 100)} %`,
        known
          ? `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`
          : doneBytes === undefined
            ? undefined
            : formatBytes(doneBytes),
        rate === undefined ? undefined : `${formatBytes(rate)}/s`,
        left === undefined ? undefined : `${formatDuration(left)} left`,
        progress.note === undefined ? undefined : oneLine(progress.note),
      ].filter((part) => part !== undefined);
      lines.push(`${oneLine(progress.phase)}${parts.length === 0 ? '' : `  ${parts.join('  ')}`}`);
    } else lines.push(work.activity);
    if (work.attempt > 1)
      lines.push(
        `attempt ${work.attempt}${work.lastFailure === undefined ? '' : `, after: ${oneLine(work.lastFailure)}`}`,
      );
    return lines;
  }
}

const meterKey = (work: ActiveWork): string => `${work.activity}/${work.progress?.phase ?? ''}`;

function bar(share: number, width: number): string {
  const full = Math.floor(share * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}
