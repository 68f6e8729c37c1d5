import type { Command } from 'commander';
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

const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

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
  planOptions(plan.command('preview').argument('<plan>').description('what it would do, step by step, and what could be undone; nothing is changed'))
    .option('--no-check', 'do not ask the actions whether they could work')
    .action(cli.action(async (context, name: string, flags: PlanRunFlags) => (await run()).previewCommand(context, name, flags)));
  planOptions(plan.command('run').argument('<plan>').description('run it'))
    .option('--on-busy <what>', 'when another run of it goes on: refuse (default), wait or skip')
    .option('--wait', 'also wait while a person has to decide; without it the command ends with 5 then')
    .option('--detach', 'start it and return')
    .action(cli.action(async (context, name: string, flags: PlanRunFlags) => (await run()).runPlan(context, name, flags)));
};
