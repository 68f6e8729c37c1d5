import { Argument } from 'commander';
import type { Command } from 'commander';
import type { Cli } from '../cli-context.ts';

export function registerCompletion(program: Command, cli: Cli): void {
  program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      '\nbash: source <(resurgo completion bash)\nzsh:  source <(resurgo completion zsh)\nfish: resurgo completion fish | source',
    )
    .action(
      cli.action(async (context, shell: 'bash' | 'zsh' | 'fish') => {
        const { completionScript } = await import('../completion.ts');
        context.output.result(
          { schemaVersion: 1, shell, script: completionScript(shell) },
          completionScript(shell).trimEnd(),
        );
      }),
    );
  program
    .command('complete-line', { hidden: true })
    .description('what may follow; used by the completion scripts')
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(
      cli.action(async (context, words: string[]) => {
        const { completeLine } = await import('../completion.ts');
        context.output.print((await completeLine(program, words, context)).join('\n'));
      }),
    );
}
