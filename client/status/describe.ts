import { formatDuration } from '../../config/units.ts';
import type { Column } from '../text.ts';
import { backupRate } from './health.ts';
import { lagText } from './replication.ts';
import type { TargetStatus } from './judge.ts';

export const statusColumns: readonly Column[] = [{ title: '' }, { title: 'target' }, { title: 'would lose', right: true }, { title: 'RPO', right: true }, { title: 'newest verified' }, { title: '30 days' }, { title: 'next' }, { title: 'standbys behind' }, { title: 'problems' }];

export function statusRow(target: TargetStatus): string[] {
  const missed = target.problems.some(({ severity }) => severity === 'objective');
  return [
    missed ? 'MISSED' : target.problems.length > 0 ? 'warn' : 'ok',
    target.name,
    target.rpoMs === null ? '–' : formatDuration(target.rpoMs),
    formatDuration(target.objectives.rpoMs),
    target.newest === null ? 'none' : `${target.newest.startedAt.slice(0, 16).replace('T', ' ')} ${target.newest.kind} ${target.newest.id}`,
    backupRate(target.health)?.text ?? '',
    target.schedules?.next?.slice(0, 16).replace('T', ' ') ?? '',
    target.replication == null ? '' : lagText(target.replication),
    target.problems.map(({ message }) => message).join('; '),
  ];
}
