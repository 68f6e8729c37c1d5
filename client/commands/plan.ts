import type { Command } from 'commander';
import { ResurgoError } from '../../domain/errors.ts';
import type { CliContext } from '../cli-context.ts';
import type { DecideFlags } from '../plan/steer.ts';
import { collect } from './collect.ts';
import type { Register } from './index.ts';

export interface PlanRunFlags {
  readonly target?: string;
  readonly mode?: string;
  readonly param?: string[];
  readonly incident?: string;
  readonly scenario?: string;
  readonly detach?: boolean;
  readonly wait?: boolean;
  readonly check?: boolean;
  readonly onBusy?: string;
}

/** What names a run of a plan: shared by `run`, `preview` and `rescue plan run`. */
export const planOptions = (command: Command): Command =>
  command
    .option('--target <name>', 'the target it is about; one run of a plan per target at a time')
    .option('--mode <mode>', 'graceful (default) or ungraceful: the lost site does not answer')
    .option('--param <name=value>', 'a parameter of the plan; may be repeated', collect)
    .option('--incident <id>', 'the incident it belongs to')
    .option('--scenario <name>', 'what happened, for the record');

export const registerPlan: Register = (program, cli) => {
  const plan = program.command('plan').description('recovery plans: look at, check, run and steer them');
  const run = () => import('../plan/commands.ts');
  plan.command('list').description('the plans of the configuration').action(cli.action(async (context) => (await run()).listPlans(context)));
  plan
    .command('show')
    .argument('<plan or run>', 'a plan of the configuration, or a run')
    .description('a plan as configured, or how a run stands')
    .action(cli.action(async (context, name: string) => (await run()).showPlan(context, name)));
  plan
    .command('check')
    .argument('[plan]', 'default: all')
    .description('are the plans valid, and could every step work now?')
    .option('--offline', 'only what can be told without asking anything')
    .action(cli.action(async (context, name: string | undefined, flags: { offline?: boolean }) => (await run()).checkPlans(context, name, flags)));
  plan
    .command('evaluations')
    .description('what the half-hourly look at all plans found last')
    .action(cli.action(async (context) => (await run()).showEvaluations(context)));
  planOptions(plan.command('preview').argument('<plan>').description('what it would do, step by step, and what could be undone; nothing is changed'))
    .option('--no-check', 'do not ask the actions whether they could work')
    .action(cli.action(async (context, name: string, flags: PlanRunFlags) => (await run()).previewCommand(context, name, flags)));
  planOptions(plan.command('run').argument('<plan>').description('run it'))
    .option('--on-busy <what>', 'when another run of it goes on: refuse (default), wait or skip')
    .option('--wait', 'also wait while a person has to decide; without it the command ends with 5 then')
    .option('--detach', 'start it and return')
    .action(cli.action(async (context, name: string, flags: PlanRunFlags) => (await run()).runPlan(context, name, flags)));
  const steering = () => import('../plan/steer.ts');
  const steer = (verb: 'pause' | 'resume' | 'abort', description: string): void => {
    plan
      .command(verb)
      .argument('<run>', 'id of a run, or the plan it runs')
      .description(description)
      .option('--reason <text>', 'for the record')
      .action(cli.action(async (context, name: string, flags: { reason?: string }) => (await steering()).steer(context, name, verb, { by: await whoAmI(context), ...flags })));
  };
  steer('pause', 'start no new step; what is at work ends');
  steer('resume', 'go on after a pause');
  steer('abort', 'stop, and undo in reverse what was done');
  plan
    .command('skip')
    .argument('<run>')
    .argument('<step>')
    .description('leave a step out')
    .action(cli.action(async (context, name: string, step: string) => (await steering()).steer(context, name, 'skip', { by: await whoAmI(context), step })));
  plan
    .command('retry')
    .argument('<run>')
    .argument('[step]', 'default: the one it waits about')
    .description('try a failed step again')
    .action(cli.action(async (context, name: string, step: string | undefined) => (await steering()).steer(context, name, 'retry', { by: await whoAmI(context), ...(step === undefined ? {} : { step }) })));
  plan
    .command('mode')
    .argument('<run>')
    .argument('<mode>', 'graceful or ungraceful')
    .description('from now on: may it need the lost site to answer?')
    .action(
      cli.action(async (context, name: string, mode: string) => {
        if (mode !== 'graceful' && mode !== 'ungraceful') throw new ResurgoError('usage', `${mode} is no mode; graceful or ungraceful`);
        return (await steering()).steer(context, name, 'mode', { by: await whoAmI(context), mode });
      }),
    );
  plan
    .command('answer')
    .argument('<run>')
    .argument('<answer>', 'applied or notApplied')
    .argument('[step]', 'default: the one it waits about')
    .description('say whether a step of unknown outcome took effect, after looking')
    .action(
      cli.action(async (context, name: string, answer: string, step: string | undefined) => {
        if (answer !== 'applied' && answer !== 'notApplied') throw new ResurgoError('usage', `${answer} is no answer; applied or notApplied`);
        return (await steering()).steer(context, name, 'answer', { by: await whoAmI(context), answer, ...(step === undefined ? {} : { step }) });
      }),
    );
  for (const decision of ['approve', 'reject'] as const) {
    plan
      .command(decision)
      .argument('<run>')
      .description(decision === 'approve' ? "approve what a run waits for, with one's own token" : 'refuse it')
      .requiredOption('--as <name>', 'the approver')
      .option('--step <id>', 'when several wait')
      .option('--hash <hash>', 'what you looked at; refused when something else would run now')
      .option('--reason <text>', 'for the record')
      .option('--token-file <file>', 'the token; default RESURGO_APPROVER_TOKEN')
      .option('--print', 'only write the input of the update, for the Temporal UI or CLI')
      .action(cli.action(async (context, name: string, flags: DecideFlags) => (await steering()).decide(context, name, decision, flags)));
  }
  plan
    .command('document')
    .argument('<target>')
    .description('the dated recovery plan of a target: objectives, schedules, destinations, procedure, contacts')
    .option('--out <file>', 'write it there')
    .action(cli.action(async (context, target: string, flags: { out?: string }) => (await import('../plan/document.ts')).writeDocument(context, target, flags)));
};

const whoAmI = async (context: CliContext): Promise<string> => (await import('../session.ts')).startedBy(context.env);
