import { ResurgoError } from '../../domain/errors.ts';
import type { Register } from './index.ts';

export const registerBackups: Register = (program, cli) => {
  program
    .command('backups')
    .argument('[target]', 'only this target, or `show`')
    .argument('[id]', 'with `show`: the backup')
    .description('list backups, from the repositories themselves; `backups show ID` tells all about one')
    .action(
      cli.action(async (context, first: string | undefined, id: string | undefined) => {
        const loaded = await context.loadConfig();
        const { listCatalogue } = await import('../catalogue.ts');
        const { formatBytes, formatDuration } = await import('../../config/units.ts');
        const { output } = context;
        if (first === 'show' && id !== undefined) {
          const { showBackup } = await import('../show-backup.ts');
          const shown = await showBackup(loaded, id);
          output.result(shown, () => JSON.stringify(shown, null, 2));
          return undefined;
        }
        if (id !== undefined) throw new ResurgoError('usage', `unexpected argument ${id}`);
        if (first !== undefined) (await import('../targets.ts')).assertTarget(loaded, first);
        const { backups, problems, failedRuns } = await listCatalogue(loaded, first);
        if (output.json) output.result(backups, '');
        else if (backups.length === 0) output.print(problems.length > 0 ? 'no repository answered' : 'there are no backups');
        else {
          output.table(
            [{ title: 'started' }, { title: 'target' }, { title: 'kind' }, { title: 'id' }, { title: 'status' }, { title: 'source', right: true }, { title: 'stored', right: true }, { title: 'took', right: true }, { title: 'repositories' }],
            backups.map((backup) => [
              backup.startedAt.slice(0, 19).replace('T', ' '),
              backup.target,
              backup.kind,
              backup.id,
              backup.complete ? backup.status : `${backup.status}, degraded`,
              backup.bytes === null ? '?' : formatBytes(backup.bytes.source),
              backup.bytes === null ? '?' : formatBytes(backup.bytes.stored),
              backup.durationMs === null ? '?' : formatDuration(backup.durationMs),
              backup.repositories.map((repository) => (repository.status === 'damaged' ? `${repository.name} (damaged)` : repository.name)).join(', '),
            ]),
          );
        }
        for (const run of failedRuns.slice(0, 3)) output.note(`failed run ${run.id} of ${run.target} at ${run.startedAt}: ${run.error?.message ?? 'unknown'}`);
        for (const problem of problems) output.note(`repository ${problem.repository}: ${problem.message}`);
        return problems.length > 0 && backups.length === 0 ? 1 : undefined;
      }),
    );
};
