import { Option, type Command } from 'commander';
import { disasterKinds } from '../../domain/gameday.ts';
import type { GameDayFlags } from '../gameday.ts';
import { collect } from './collect.ts';
import type { Register } from './index.ts';

/** Also of `drill PLAN`. */
export const gameDayOptions = (command: Command): Command =>
  command
    .option('--target <name>', 'of whose backup the sandbox is made; default as under gamedays')
    .addOption(new Option('--disaster <kind>', 'what happens to the sandbox; default as under gamedays').choices(disasterKinds))
    .option('--table <name>', 'with table-dropped, rows-deleted, data-corrupted: the table, as schema.table')
    .option('--where <sql>', 'with rows-deleted: which rows; default all')
    .addOption(new Option('--mode <mode>', 'how the plan runs').choices(['graceful', 'ungraceful']))
    .option('--param <name=value>', 'a parameter of the plan; may be repeated', collect);

export const registerGameDay: Register = (program, cli) => {
  gameDayOptions(program.command('gameday').argument('<plan>').description('try a plan: make a disaster in a sandbox of the newest backup, run the plan there, check and measure, throw it away; exit code 6 when it failed or missed an objective'))
    .option('--backup <which>', 'backup id, date, or latest', 'latest')
    .option('--detach', 'start it and return')
    .action(cli.action(async (context, plan: string, flags: GameDayFlags) => (await import('../gameday.ts')).gameDayCommand(context, plan, flags)));
};
