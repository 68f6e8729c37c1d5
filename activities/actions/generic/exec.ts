import { z } from 'zod';
import { defineAction, type ActionContext } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { commandField, durationField, hostField, inputOf, textField } from '../input.ts';
import { assertProgram, lastWords, runCommand } from '../run-command.ts';

const schema = z
  .strictObject({
    command: commandField('Program and arguments; no shell. The program by absolute path, or found on the PATH.'),
    effect: z
      .enum(['none', 'converge', 'irreversible'])
      .default('irreversible')
      .meta({ kind: '`none`, `converge`, `irreversible`', description: '`none`: only looks; `converge`: a second time makes no difference, so it is tried again; `irreversible`: at most once.' }),
    probe: commandField('Tells whether a lost attempt took effect: exit code 0 yes, 1 no, anything else unknown.').optional(),
    verify: commandField('Ends with 0 when what was done is true; tried until the step times out.').optional(),
    compensate: commandField('Undoes it; must be right also when the command did its work only in part, and a second time.').optional(),
    cwd: textField('Working directory.').optional(),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a name of an environment variable'), textField('its value')).optional().meta({ kind: 'mapping', description: 'Environment of the commands; secrets by reference.' }),
    input: textField('Written to standard input.').optional(),
    okExitCodes: z.array(z.number().int().min(0).max(255)).min(1).optional().meta({ kind: 'list of numbers', description: 'Exit codes that are success; default 0.' }),
    timeout: durationField('The command is ended when it takes longer; default the time of the step.').optional(),
    host: hostField,
  })
  .meta({ description: 'exec' });
type Input = z.output<typeof schema>;
interface Output {
  readonly exitCode: number;
  /** The end of standard output. */
  readonly stdout: string;
  readonly durationMs: number;
}

const run = (context: ActionContext<Input>, command: readonly string[], phase: string, okExitCodes?: readonly number[]) => {
  const { cwd, env, timeout } = context.input;
  return runCommand(context, { command, phase, cwd, env, timeoutMs: timeout, okExitCodes });
};

/** Runs a program. What it changes is declared, not guessed: by default it is run at most once. */
export const exec = defineAction<Input, Record<string, never>, Output>({
  name: 'exec',
  version: 1,
  description: 'Runs a program on a worker host.',
  effect: 'irreversible',
  ...inputOf(schema),
  outputs: ['exitCode', 'stdout', 'durationMs'],
  undo: 'runs the command under `compensate`',
  subject: ({ command }) => (command[0] ?? '').split('/').at(-1) ?? '',
  host: ({ host }) => host,
  abilities: ({ effect, probe, verify, compensate }) => ({ effect, probe: probe !== undefined, verify: verify !== undefined, compensate: compensate !== undefined }),
  async check({ input }) {
    for (const command of [input.command, input.probe, input.verify, input.compensate]) if (command !== undefined) await assertProgram(command);
    return [];
  },
  async apply(context) {
    const { command, okExitCodes, cwd, env, timeout, input } = context.input;
    const { exitCode, stdout, durationMs } = await runCommand(context, { command, phase: 'apply', okExitCodes, cwd, env, timeoutMs: timeout, input });
    const text = lastWords(stdout);
    return { summary: `ended with ${String(exitCode)}${text === '' ? '' : `: ${text.split('\n').at(-1) ?? ''}`}`.slice(0, 300), output: { exitCode, stdout: text, durationMs } };
  },
  async probe(context) {
    const { exitCode } = await run(context, context.input.probe ?? [], 'probe', Array.from({ length: 256 }, (_, code) => code));
    return exitCode === 0 ? 'applied' : exitCode === 1 ? 'notApplied' : 'unknown';
  },
  async verify(context) {
    if (context.input.verify === undefined) throw new ResurgoError('bug', 'exec has nothing to verify');
    const { stdout } = await run(context, context.input.verify, 'verify');
    return lastWords(stdout, 200) || 'verified';
  },
  async compensate(context) {
    if (context.input.compensate === undefined) throw new ResurgoError('bug', 'exec has nothing to undo it with');
    const { stdout } = await run(context, context.input.compensate, 'compensate');
    return lastWords(stdout, 200) || 'undone';
  },
});
