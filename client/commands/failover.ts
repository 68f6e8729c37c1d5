import type { FailoverInput, FailoverResult } from '../../domain/failover.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { CliContext, Outcome } from '../cli-context.ts';
import type { Register } from './index.ts';

export interface FailoverFlags {
  readonly to?: string;
  readonly preview?: boolean;
  readonly overrideFence?: string;
  readonly detach?: boolean;
}

/** Prints a result, also of one that failed. @returns the exit code */
export async function showFailover(context: CliContext, result: FailoverResult): Promise<Outcome> {
  const { describeFailover, failoverExitCode } = await import('../describe-failover.ts');
  context.output.result(result, () => describeFailover(result));
  for (const warning of result.warnings) context.output.note(`warning: ${warning}`);
  return failoverExitCode(result);
}

/** A run that failed tells all its steps; refused before anything was touched keeps its own exit code, undone is 4, unproved 5. */
export async function showFailedFailover(context: CliContext, error: unknown): Promise<Outcome> {
  const result = isResurgoError(error) ? (error.details['result'] as FailoverResult | undefined) : undefined;
  if (result === undefined || !isResurgoError(error) || result.steps.length <= 1) throw error;
  if (context.output.json) context.output.result({ ...result, error: { ...result.error, kind: error.definition.kind } }, '');
  else await showFailover(context, result);
  context.output.error(error.message, error.hint);
  return error.definition.exitCode === 5 || error.code === 'cancelled' ? error.definition.exitCode : result.status === 'compensated' ? 4 : result.to === null ? error.definition.exitCode : 1;
}

export function failoverInput(target: string, flags: FailoverFlags): FailoverInput {
  if (flags.overrideFence !== undefined && flags.overrideFence.trim().length < 8) throw new ResurgoError('usage', '--override-fence needs a reason in words: what makes you sure that the old primary is off and stays off?');
  return {
    target,
    ...(flags.to === undefined ? {} : { to: flags.to }),
    ...(flags.preview === true ? { preview: true } : {}),
    ...(flags.overrideFence === undefined ? {} : { overrideFence: flags.overrideFence }),
  };
}

export const registerFailover: Register = (program, cli) => {
  program
    .command('failover')
    .argument('<cluster>')
    .description('make a standby the primary because the old one is dead: fence it, promote the freshest, move clients')
    .option('--to <member>', 'which standby (it must lack nothing that another one has)')
    .option('--preview', 'decide and show everything, touch nothing')
    .option('--override-fence <reason>', 'answer in writing for an old primary that cannot be proved to be off')
    .option('--detach', 'start it and return')
    .action(
      cli.action(async (context, cluster: string, flags: FailoverFlags) => {
        const input = failoverInput(cluster, flags);
        const { runAndFollow, startedBy } = await import('../session.ts');
        const { assertTarget } = await import('../targets.ts');
        assertTarget(await context.loadConfig(), cluster);
        try {
          const result = await runAndFollow(context, 'failover', { ...input, startedBy: await startedBy(context.env) }, { detach: flags.detach === true });
          return result === undefined ? undefined : await showFailover(context, result);
        } catch (error) {
          return showFailedFailover(context, error);
        }
      }),
    );
};
