import type { UpkeepInput } from '../../domain/operations.ts';
import type { Register } from './index.ts';

export const registerUpkeep: Register = (program, cli) => {
  program
    .command('upkeep')
    .argument('<target>')
    .description('keep the repositories whole: bring late ones what they lack, read back a share, heal damaged copies from good ones')
    .option('--preview', 'only say what would be done')
    .option('--detach', 'start it and return')
    .action(
      cli.action(async (context, target: string, flags: { readonly preview?: boolean; readonly detach?: boolean }) => {
        const { runAndFollow, startedBy } = await import('../session.ts');
        const { assertTarget } = await import('../targets.ts');
        assertTarget(await context.loadConfig(), target);
        const input: UpkeepInput = { target, startedBy: await startedBy(context.env), ...(flags.preview === true ? { preview: true } : {}) };
        const report = await runAndFollow(context, 'upkeep', input, { detach: flags.detach === true });
        if (report === undefined) return undefined;
        const { describeUpkeep } = await import('../describe-upkeep.ts');
        context.output.result(report, () => describeUpkeep(report));
        for (const warning of report.warnings) context.output.warn(warning);
        return report.status === 'incomplete' ? 7 : undefined;
      }),
    );
};
