import { formatTable } from '../text.ts';
import type { ScheduleChange, ScheduleReport } from './reconcile.ts';

const words = (change: ScheduleChange, applied: boolean): string => {
  if (change.error !== undefined) return 'FAILED';
  if (!applied || change.action === 'foreign') return change.action === 'none' ? 'ok' : change.action;
  return { create: 'created', update: 'updated', delete: 'deleted', none: 'ok' }[change.action];
};

export function describeSchedules({ applied, counts, failed, schedules }: ScheduleReport): string {
  const changed = counts.create + counts.update + counts.delete;
  const parts = [`${String(counts.create)} ${applied ? 'created' : 'to create'}`, `${String(counts.update)} ${applied ? 'updated' : 'to update'}`, `${String(counts.delete)} ${applied ? 'deleted' : 'to delete'}`, `${String(counts.none)} as they should be`];
  if (counts.foreign > 0) parts.push(`${String(counts.foreign)} not ours, not touched`);
  if (failed > 0) parts.push(`${String(failed)} FAILED`);
  const shown = schedules.length > 60 ? schedules.filter((one) => one.action !== 'none' || one.error !== undefined || one.paused).slice(0, 60) : schedules;
  const rows = shown.map((one) => [words(one, applied), one.id, one.cron ?? '', one.timezone ?? '', one.next ?? '', [one.error?.message ?? '', ...one.changes, one.paused ? `paused${one.note === undefined ? '' : ` (${one.note})`}` : ''].filter(Boolean).join('; ')]);
  const table = rows.length === 0 ? '' : `${formatTable([{ title: '' }, { title: 'schedule' }, { title: 'cron' }, { title: 'time zone' }, { title: 'next' }, { title: '' }], rows)}\n`;
  return `${table}${parts.join(', ')}${!applied && changed > 0 ? '\n`resurgo schedules apply` makes it so' : ''}`;
}
