import { ResurgoError } from '../../domain/errors.ts';
import { whyGivenUp } from '../../domain/swaps.ts';
import type { Register } from './index.ts';

export const registerBackups: Register = (program, cli) => {
  program
    .command('backups')
    .argument('[target]', 'only this target, or `show`, `hold`, `release`, `deleted`, `undelete`')
    .argument('[id]', 'with `show`, `hold`, `release`, `undelete`: the backup')
    .description('list backups, from the repositories themselves; `backups show ID` tells all about one; `backups hold|release ID`: retention may (not) remove it; `backups deleted`, `backups undelete ID`: what retention removed and is still there')
    .option('--reason <text>', 'with `hold`: why')
    .action(
      cli.action(async (context, first: string | undefined, id: string | undefined, flags: { readonly reason?: string }) => {
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
        if ((first === 'hold' || first === 'release') && id !== undefined) {
          if (!/^[a-z0-9]{1,64}$/.test(id)) throw new ResurgoError('usage', `${JSON.stringify(id)} is not the id of a backup; \`resurgo backups\` lists them`);
          const [{ holdBackup }, { startedBy }] = await Promise.all([import('../hold-backup.ts'), import('../session.ts')]);
          const held = await holdBackup(loaded, id, { action: first, by: await startedBy(context.env), ...(flags.reason === undefined ? {} : { reason: flags.reason }) });
          output.result(held, () => `${held.id} of ${held.target} ${first === 'hold' ? 'is held: retention removes neither it nor what it builds on' : 'is released'} (${held.repositories.filter((one) => one.status === 'done').map((one) => one.name).join(', ')})`);
          const failed = held.repositories.filter((one) => one.status === 'failed');
          for (const one of failed) output.warn(`repository ${one.name} did not take it: ${one.error?.message ?? 'unknown'}`);
          return failed.length > 0 ? 7 : undefined;
        }
        if (first === 'deleted' && id === undefined) return (await import('../deleted-backups.ts')).showDeleted(loaded, output);
        if (first === 'undelete' && id !== undefined) return (await import('../deleted-backups.ts')).undeleteBackup(loaded, output, id);
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
              [backup.status, ...(backup.complete ? [] : ['degraded']), ...(backup.held ? ['held'] : []), ...(backup.givenUp === null ? [] : ['given up'])].join(', '),
              backup.bytes === null ? '?' : formatBytes(backup.bytes.source),
              backup.bytes === null ? '?' : formatBytes(backup.bytes.stored),
              backup.durationMs === null ? '?' : formatDuration(backup.durationMs),
              backup.repositories.map((repository) => (repository.status === 'damaged' ? `${repository.name} (damaged)` : repository.name)).join(', '),
            ]),
          );
        }
        for (const backup of backups.filter(({ givenUp }) => givenUp !== null).slice(0, 3)) output.note(`backup ${backup.id} of ${backup.target} is given up: ${whyGivenUp(backup.givenUp ?? '')}`);
        for (const run of failedRuns.slice(0, 3)) output.note(`failed run ${run.id} of ${run.target} at ${run.startedAt}: ${run.error?.message ?? 'unknown'}`);
        for (const problem of problems) output.note(`repository ${problem.repository}: ${problem.message}`);
        return problems.length > 0 && backups.length === 0 ? 1 : undefined;
      }),
    );
};
