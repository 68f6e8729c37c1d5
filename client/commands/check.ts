import type { Command } from 'commander';
import type { Cli } from '../cli-context.ts';

export interface CheckOptions {
  readonly offline?: boolean;
}

export function registerCheck(program: Command, cli: Cli): void {
  program
    .command('check')
    .description('validate the configuration, reach every server, repository and tool')
    .option('--offline', 'only what can be told without reaching anything')
    .addHelpText(
      'after',
      '\nEvery line is ok, warn or fail. Ends with 0 when nothing failed, 2 when the configuration is not valid, 3 when something cannot be reached or used.',
    )
    .action(
      cli.action(async (context, options: CheckOptions) => (await import('./check-run.ts')).runCheck(context, options)),
    );
}
