import { collect } from './collect.ts';
import type { Register } from './index.ts';
import type { RescuePlanFlags } from '../plan/rescue.ts';
import { planOptions } from './plan.ts';

/** `rescue plan run`; its own file, so that each kind of rescue stands beside the others. */
export const registerRescuePlan: Register = (rescue, cli) => {
  const plan = rescue.command('plan').description('recovery plans without Temporal');
  planOptions(plan.command('run').argument('<plan>').description('run a plan, or go on with the run that was begun: its journal lies under the state directory'))
    .option('--host <name>', 'the name of this host in the plan')
    .option('--skip <step>', 'leave a step out; may be repeated', collect)
    .option('--retry <step>', 'try the failed step again')
    .option('--answer <step=answer>', 'applied or notApplied: whether a step of unknown outcome took effect')
    .option('--approve <step>', 'approve it; with --as, and the token as for plan approve')
    .option('--as <name>', 'the approver')
    .option('--token-file <file>', "the approver's token; default RESURGO_APPROVER_TOKEN")
    .option('--abort', 'stop, and undo in reverse what was done')
    .option('--reason <text>', 'for the record')
    .action(cli.action(async (context, name: string, flags: RescuePlanFlags) => (await import('../plan/rescue.ts')).rescuePlan(context, name, flags)));
};
