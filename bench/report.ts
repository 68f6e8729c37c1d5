import { median, round } from './statistics.ts';
import type { Measure, Sample } from './types.ts';

export interface MeasureSpec {
  readonly name: string;
  readonly what: string;
  readonly unit: string;
  readonly bar: number | null;
  readonly peerName: string | null;
  /** Why the peer is absent, or that there is none by nature. */
  readonly reason?: string | undefined;
  readonly note?: string | undefined;
}

/** Makes the line of a measure out of its samples. */
export function measureOf(spec: MeasureSpec, ours: readonly Sample[], peer: readonly Sample[] | undefined): Measure {
  const values = (samples: readonly Sample[]): number[] => samples.map((sample) => round(sample.value, 3));
  const peers = peer ?? [];
  const own = median(values(ours));
  const ratio = peers.length === 0 || ours.length === 0 ? null : round(own / median(values(peers)), 3);
  const compared = spec.peerName === null ? own : ratio;
  const stored = (samples: readonly Sample[]): number | null => {
    const sizes = samples.flatMap((sample) => sample.storedBytes ?? []);
    return sizes.length === 0 ? null : median(sizes);
  };
  const ownStored = stored(ours);
  return {
    name: spec.name,
    what: spec.what,
    unit: spec.unit,
    ours: values(ours),
    peer: values(peers),
    peerName: spec.peerName,
    ratio,
    bar: spec.bar,
    passed: spec.bar === null || compared === null || Number.isNaN(compared) ? null : compared <= spec.bar,
    ...(ownStored === null ? {} : { stored: { ours: ownStored, peer: stored(peers) } }),
    ...(spec.reason === undefined ? {} : { reason: spec.reason }),
    ...(spec.note === undefined ? {} : { note: spec.note }),
  };
}

const shown = (values: readonly number[]): string => (values.length === 0 ? '-' : median(values).toPrecision(3));
const bytes = (value: number | null | undefined): string =>
  value === null || value === undefined ? '-' : `${(value / 1e6).toFixed(0)} MB`;

/** The table a person reads. */
export function table(measures: readonly Measure[]): string {
  const head = ['measure', 'what', 'ours', 'peer', 'ratio', 'bar', '', 'stored', 'peer stored', 'against'];
  const rows = measures.map((measure) => [
    measure.name,
    measure.what,
    `${shown(measure.ours)} ${measure.unit}`,
    measure.peer.length === 0 ? '-' : `${shown(measure.peer)} ${measure.unit}`,
    measure.ratio === null ? '-' : measure.ratio.toFixed(2),
    measure.bar === null ? '-' : String(measure.bar),
    measure.passed === null ? '' : measure.passed ? 'pass' : 'FAIL',
    bytes(measure.stored?.ours),
    bytes(measure.stored?.peer),
    [measure.peerName ?? '', measure.reason ?? ''].filter(Boolean).join(': '),
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  const notes = measures.flatMap((measure) => (measure.note === undefined ? [] : [`${measure.name}: ${measure.note}`]));
  return [
    line(head),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map(line),
    ...(notes.length > 0 ? ['', ...notes] : []),
    '',
  ].join('\n');
}
