import type { Command } from 'commander';
import type { Cli } from '../cli-context.ts';

export interface InitOptions {
  readonly forceFree?: boolean;
}

export function registerInit(program: Command, cli: Cli): void {
  program
    .command('init')
    .description('write a commented resurgo.yaml and a fresh key pair')
    .option('--force-free', 'write only what is missing, keep what is there')
    .addHelpText(
      'after',
      "\nWrites the configuration (--config), resurgo.key (who has it can restore) and resurgo-host.key (this host's own) beside it.\nNothing that exists is ever overwritten.",
    )
    .action(
      cli.action(async (context, options: InitOptions) => (await import('./init-run.ts')).runInit(context, options)),
    );
}
