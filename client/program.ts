/** The command line. Only commander and small modules are loaded here; each command imports what it needs when it runs. */
import { Command, CommanderError, Option } from 'commander';
import { ResurgoError } from '../domain/errors.ts';
import type { Cli, CliContext } from './cli-context.ts';
import { commands } from './commands/index.ts';
import { watchInterrupts } from './interrupts.ts';
import { Output } from './output.ts';
import { reportError } from './report-error.ts';
import { version } from './version.ts';

interface GlobalOptions {
  readonly config: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** The whole command tree; `finish` hears the exit code of the command that ran. */
export function createProgram(
  finish: (exitCode: number) => void,
  makeContext: (options: GlobalOptions) => CliContext,
  onHelp: (text: string) => void = () => undefined,
  writeOut?: (text: string) => void,
): Command {
  const program = new Command('resurgo');
  program
    .description(
      'Durable disaster recovery for PostgreSQL: backups and restores that survive the death of any machine.',
    )
    .version(version, '--version', 'print the version')
    .addOption(new Option('--config <file>', 'configuration file').default('resurgo.yaml').env('RESURGO_CONFIG'))
    .option('--json', 'one JSON document on stdout, everything else on stderr')
    .option('--quiet', 'no remarks and no progress')
    .helpOption('-h, --help', 'explain a command')
    .helpCommand('help [command]', 'explain a command')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: () => undefined, writeErr: onHelp, ...(writeOut === undefined ? {} : { writeOut }) })
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused, 4 failed and undone, 5 unknown or waiting,\n6 objective missed, 7 done with warnings, 130 interrupted.',
    );
  const cli: Cli = {
    action:
      (handler) =>
      async (...args) => {
        finish((await handler(makeContext(program.opts<GlobalOptions>()), ...args)) ?? 0);
      },
  };
  for (const register of commands) register(program, cli);
  return program;
}

/** Runs one command line and returns its exit code; never throws. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const words = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  const make = (options: { json: boolean; quiet: boolean }): Output =>
    new Output({ ...options, stdout: process.stdout, stderr: process.stderr, env });
  // Needed before the line is understood: its own errors are JSON too.
  let output = make({ json: words.includes('--json'), quiet: words.includes('--quiet') });
  const interrupts = watchInterrupts(output);
  let exitCode = 0;
  let help = '';
  /** What was asked for by `help` or `--version`, where it must not go to stdout as it is. */
  let asked = '';
  const program = createProgram(
    (code) => void (exitCode = code),
    (options) => {
      output = make({ json: options.json === true, quiet: options.quiet === true });
      return {
        output,
        env,
        configPath: options.config,
        version,
        signal: interrupts.signal,
        loadConfig: async () => (await import('../config/load.ts')).loadConfig(options.config, { env }),
      };
    },
    (text) => void (help += text),
    output.json ? (text) => void (asked += text) : undefined,
  );
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    exitCode =
      error instanceof CommanderError ? reportUsage(error, { help, asked }, output, env) : reportError(error, output, env);
  } finally {
    interrupts.stop();
  }
  return exitCode;
}

/** Help and version end by an exception too; everything else is a line that is not understood. */
function reportUsage(error: CommanderError, texts: { help: string; asked: string }, output: Output, env: NodeJS.ProcessEnv): number {
  const { help, asked } = texts;
  if (error.exitCode === 0) {
    if (output.json) output.document(error.code === 'commander.version' ? { version } : { help: asked.trimEnd() });
    return 0;
  }
  // A line that stops before a command gets the list of them.
  if (error.code === 'commander.help') output.note(help);
  const message =
    error.code === 'commander.help'
      ? 'A command is missing.'
      : error.message.replace(/^error: /, '').replace('\n(', ' (');
  return reportError(new ResurgoError('usage', message), output, env);
}
