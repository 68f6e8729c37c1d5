import { Option } from 'commander';
import type { BackupKind } from '../../domain/backup.ts';
import type { OnBusy } from '../../domain/operations.ts';
import type { Register } from './index.ts';

interface BackupFlags { readonly kind: string; readonly onBusy: string; readonly detach?: boolean }

const kinds: readonly string[] = ['full', 'differential', 'incremental'];

export const registerBackup: Register = (program, cli) => {
  program
    .command('backup')
    .argument('<target>')
    .description('take one backup, read it back, publish it')
    .addOption(new Option('--kind <kind>', 'what to take').choices(kinds).default('full'))
    .addOption(new Option('--on-busy <what>', 'when another operation holds the target').choices(['wait', 'skip', 'refuse']).default('wait'))
    .option('--detach', 'start it and return')
    .action(
      cli.action(async (context, target: string, flags: BackupFlags) => {
        const { runAndFollow, startedBy } = await import('../session.ts');
        const { assertTarget } = await import('../targets.ts');
        assertTarget(await context.loadConfig(), target);
        const result = await runAndFollow(context, 'backup', { target, kind: flags.kind as BackupKind, onBusy: flags.onBusy as OnBusy, startedBy: await startedBy(context.env) }, { detach: flags.detach === true });
        if (result === undefined) return undefined;
        const { describeBackup } = await import('../describe-result.ts');
        context.output.result(result, () => describeBackup(result));
        for (const warning of result.warnings) context.output.note(`warning: ${warning}`);
        const whole = result.complete && (result.counts.problems ?? 0) === 0;
        return whole || result.status === 'skipped' ? undefined : 7;
      }),
    );
};
