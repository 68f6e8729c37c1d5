import { formatBytes, formatDuration } from '../config/units.ts';
import { formatTable } from '../client/text.ts';
import type { Peer } from './peers.ts';
import type { Screen } from './screen.ts';

export interface Measured {
  readonly step: string;
  readonly ms: number;
  /** What was read or written of the database. */
  readonly bytes: number;
  /** What lies in a repository for it. */
  readonly stored?: number;
  readonly peer?: Peer | string;
}

/** The last thing the demo shows. */
export function showTable(screen: Screen, rows: readonly Measured[]): void {
  const text = formatTable(
    [
      { title: 'step' },
      { title: 'time', right: true },
      { title: 'data', right: true },
      { title: 'rate', right: true },
      { title: 'stored', right: true },
      { title: 'by pg_dump | gzip' },
    ],
    rows.map(({ step, ms, bytes, stored, peer }) => [
      step,
      formatDuration(ms),
      formatBytes(bytes),
      `${formatBytes((bytes * 1000) / ms)}/s`,
      stored === undefined ? '' : formatBytes(stored),
      peer === undefined
        ? ''
        : typeof peer === 'string'
          ? peer
          : `${formatDuration(peer.ms)}, ${formatBytes(peer.bytes)}`,
    ]),
  );
  const [head, ...lines] = text.split('\n');
  screen.write(`  ${screen.style(head ?? '', 'bold')}`);
  for (const line of lines) screen.write(`  ${line}`);
}
