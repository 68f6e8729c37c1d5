import type { FailoverResult } from '../domain/failover.ts';
import { formatBytes, formatDuration } from '../config/units.ts';

const marks = { completed: '✓', failed: '✗', skipped: '-', compensated: '↩', 'compensation-failed': '!' } as const;

export function describeFailover(result: FailoverResult): string {
  const word = result.kind;
  if (result.status === 'preview') return [`preview: ${word} of ${result.target}; nothing was touched`, ...(result.would ?? []).map((line, i) => `  ${String(i + 1)}. ${line}`)].join('\n');
  const head =
    result.to !== null ? `${result.to} is the primary of ${result.target} now, on timeline ${String(result.timeline.after)}${result.status === 'failed' ? '; but the rest failed' : ''}`
    : result.status === 'compensated' ? `${word} of ${result.target} failed; what it had done was undone`
    : `${word} of ${result.target} failed`;
  const lines = [head];
  if (result.from !== null) lines.push(`  from         ${result.from}`);
  lines.push(`  took         ${formatDuration(result.durationMs)}${result.writableAfterMs === null ? '' : `, writable after ${formatDuration(result.writableAfterMs)}`}`);
  for (const fence of result.fences) lines.push(`  fenced       ${fence.member} (${fence.method}): ${fence.override === null ? fence.proof : `NOT PROVED, answered for: ${fence.override}`}`);
  if (result.to !== null) lines.push(`  data loss    ${result.loss.bytes === null ? `not known: ${result.loss.detail}` : result.loss.bytes === 0 ? 'none' : `${formatBytes(result.loss.bytes)} of WAL: ${result.loss.detail}`}`);
  for (const step of result.steps) lines.push(`  ${marks[step.outcome]} ${step.name}  ${formatDuration(step.durationMs)}${step.detail === undefined ? '' : `  ${step.detail}`}`);
  if (result.kind === 'failover' && result.from !== null && result.to !== null) lines.push(`Bring ${result.from} back with: resurgo rejoin ${result.target} ${result.from} --by rewind|clone|keep`);
  return lines.join('\n');
}

/** 0 done, 7 with warnings; failures are thrown before this. */
export const failoverExitCode = (result: FailoverResult): number | undefined => (result.status === 'completed-with-warnings' ? 7 : undefined);
