import type { VerifyReport } from '../../domain/operations.ts';
import type { Register } from './index.ts';

interface VerifyFlags { readonly backup?: string; readonly deep?: boolean; readonly detach?: boolean }

/** Damage is a failure; what no key here opens is a precondition, as anywhere else; what did not answer is not known. */
function exitCodeOf({ status, copies, wal = [] }: VerifyReport): number | undefined {
  if (status === 'verified') return undefined;
  if (status === 'damaged') return 1;
  return [...copies, ...wal].some((one) => one.status === 'unopened') ? 3 : 5;
}

export const registerVerify: Register = (program, cli) => {
  program
    .command('verify')
    .argument('<target>')
    .description('read stored backups back and check them')
    .option('--backup <id>', 'only this one (id, date or latest); default every backup of the target')
    .option('--deep', 'decrypt, decompress and check the content too; needs the identity')
    .option('--detach', 'start it and return')
    .action(
      cli.action(async (context, target: string, flags: VerifyFlags) => {
        const { runAndFollow } = await import('../session.ts');
        const { assertTarget } = await import('../targets.ts');
        assertTarget(await context.loadConfig(), target);
        const report = await runAndFollow(context, 'verify', { target, ...(flags.backup === undefined ? {} : { backup: flags.backup }), ...(flags.deep === true ? { deep: true } : {}) }, { detach: flags.detach === true });
        if (report === undefined) return undefined;
        const { describeVerify } = await import('../describe-result.ts');
        context.output.result(report, () => describeVerify(report));
        return exitCodeOf(report);
      }),
    );
};
