import type { OpenFlags, Verb, VerbFlags } from '../incidents/commands.ts';
import { collect } from './collect.ts';
import type { Register } from './index.ts';

const verbs: readonly (readonly [Verb, string])[] = [
  ['ack', 'say that you have it: it escalates no further'],
  ['approve', 'let the plan that waits run'],
  ['abort', 'stop the running plan (it compensates) and start no other'],
  ['retry', 'run the plan again, or another'],
  ['resolve', 'say that it is over'],
  ['rearm', 'let recoveries of this service run by themselves again'],
];
export const registerIncident: Register = (program, cli) => {
  const incident = program.command('incident').description('incidents: look at them, and take part');
  const run = () => import('../incidents/commands.ts');
  incident.command('list').description('open incidents').option('--all', 'resolved ones of the last days too').action(cli.action(async (context, flags: { readonly all?: boolean }) => (await run()).listCommand(context, flags)));
  incident.command('show').argument('<id>', 'its id, a beginning of it, or the service').description('everything about one').action(cli.action(async (context, id: string) => (await run()).showCommand(context, id)));
  for (const [verb, description] of verbs) {
    const command = incident.command(verb).argument('<id>', 'its id, a beginning of it, or the service').description(description).option('--as <name>', 'who you are (default user@host)').option('--note <text>', 'a word for the timeline');
    if (verb === 'retry') command.option('--plan <name>', 'another plan than those that were tried');
    if (verb === 'approve') command.option('--hash <hash>', 'of the preview you looked at: anything else is refused').option('--token-file <file>', 'your approver token (default RESURGO_APPROVER_TOKEN), where the configuration names approvers');
    command.action(cli.action(async (context, id: string, flags: VerbFlags) => (await run()).verbCommand(context, verb, id, flags)));
  }
  incident
    .command('open')
    .argument('<name>', 'what is wrong, in a few words')
    .requiredOption('--service <name>', 'what it is about')
    .option('--description <text>', 'more words')
    .option('--severity <severity>', 'low, medium, high or critical', 'high')
    .option('--type <type>', 'service, database, network, storage, backup or host', 'service')
    .option('--target <name>', 'target of the configuration')
    .option('--plan <name>', 'run this plan; may be repeated: the next when one fails', collect)
    .option('--scenario <name>', 'full, data or partial: the damage, when you know it')
    .description('open one by hand')
    .action(cli.action(async (context, name: string, flags: OpenFlags) => (await run()).openCommand(context, name, flags)));
};
