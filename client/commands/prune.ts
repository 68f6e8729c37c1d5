import type { PruneInput } from '../../domain/operations.ts';
import type { Register } from './index.ts';

interface PruneFlags { readonly preview?: boolean; readonly now?: boolean; readonly repository?: readonly string[]; readonly onBusy: string; readonly detach?: boolean }

export const registerPrune: Register = (program, cli) => {
  program
    .command('prune')
    .argument('<target>')
    .description('remove the backups that no retention rule keeps')
    .option('--preview', 'only say what would go and why the rest stays')
    .option('--now', 'no time of grace: the objects go at once, also those of earlier removals')
    .option('--repository <name...>', 'only in these repositories')
    .option('--on-busy <what>', 'when another operation holds the target: wait, skip or refuse', 'wait')
    .option('--detach', 'start it and return')
    .action(
      cli.action(async (context, target: string, flags: PruneFlags) => {
        const { ResurgoError } = await import('../../domain/errors.ts');
        const { onBusy } = flags;
        if (onBusy !== 'wait' && onBusy !== 'skip' && onBusy !== 'refuse') throw new ResurgoError('usage', `--on-busy ${onBusy} is none of wait, skip, refuse`);
        const { runAndFollow, startedBy } = await import('../session.ts');
        const { assertTarget } = await import('../targets.ts');
        assertTarget(await context.loadConfig(), target);
        const input: PruneInput = { target, onBusy: onBusy, startedBy: await startedBy(context.env), ...(flags.preview === true ? { preview: true } : {}), ...(flags.now === true ? { now: true } : {}), ...(flags.repository === undefined ? {} : { repositories: flags.repository }) };
        const report = await runAndFollow(context, 'prune', input, { detach: flags.detach === true });
        if (report === undefined) return undefined;
        const { describePrune, pruneExitCode } = await import('../describe-prune.ts');
        context.output.result(report, () => describePrune(report));
        for (const warning of report.warnings) context.output.note(`warning: ${warning}`);
        return pruneExitCode(report);
      }),
    );
};
