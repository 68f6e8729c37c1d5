import { ResurgoError } from '../../domain/errors.ts';
import type { GameDayFlags } from '../gameday.ts';
import { gameDayOptions } from './gameday.ts';
import type { Register } from './index.ts';

interface DrillFlags extends GameDayFlags {
  readonly backup: string;
  readonly time?: string;
  readonly detach?: boolean;
  readonly limit: string;
}

export const registerDrill: Register = (program, cli) => {
  const command = program
    .command('drill')
    .argument('<target>', 'target to drill, or `history`; or a plan: see `resurgo gameday`')
    .argument('[of]', 'with `history`: the target')
    .description('restore a backup in isolation, check and measure it, throw it away; `drill history TARGET` shows the trend; exit code 6 when it failed or missed an objective')
    .option('--backup <which>', 'backup id, date, or latest', 'latest')
    .option('--time <time>', 'point in time (local time without a zone), or latest: the end of the WAL archive, the default where WAL is archived')
    .option('--limit <n>', 'with `history`: at most this many', '24')
    .option('--detach', 'start it and return');
  gameDayOptions(command)
    .action(
      cli.action(async (context, first: string, second: string | undefined, flags: DrillFlags) => {
        const loaded = await context.loadConfig();
        const { assertTarget } = await import('../targets.ts');
        const { output } = context;
        if (second !== undefined) {
          if (first !== 'history') throw new ResurgoError('usage', `unexpected argument ${second}`);
          const limit = Number(flags.limit);
          if (!Number.isSafeInteger(limit) || limit < 1) throw new ResurgoError('usage', `--limit ${JSON.stringify(flags.limit)} is not a number from 1 on`);
          assertTarget(loaded, second);
          const [{ drillHistory }, { describeHistory }] = await Promise.all([import('../drill-history.ts'), import('../describe-drill.ts')]);
          const history = await drillHistory(loaded, second, limit);
          output.result(history, () => describeHistory(history));
          for (const problem of history.problems) output.warn(`repository ${problem.repository}: ${problem.message}`);
          return history.problems.length > 0 ? (history.drills.length === 0 ? 1 : 7) : undefined;
        }
        const { config } = loaded;
        if (!Object.hasOwn(config.targets, first) && Object.hasOwn(config.plans ?? {}, first)) {
          if (flags.time !== undefined) throw new ResurgoError('usage', '--time goes with a target; a game day begins where its sandbox ends');
          return (await import('../gameday.ts')).gameDayCommand(context, first, flags);
        }
        for (const flag of ['target', 'disaster', 'table', 'where', 'mode', 'param'] as const) if (flags[flag] !== undefined) throw new ResurgoError('usage', `--${flag} goes with a plan; ${first} is a target`);
        const time = flags.time === undefined || flags.time === 'latest' ? flags.time : new Date(flags.time);
        if (time instanceof Date && Number.isNaN(time.getTime())) throw new ResurgoError('usage', `--time ${JSON.stringify(flags.time)} is not a time`);
        assertTarget(loaded, first);
        const [{ runAndFollow, startedBy }, { describeDrill }] = await Promise.all([import('../session.ts'), import('../describe-drill.ts')]);
        const result = await runAndFollow(context, 'drill', { target: first, backup: flags.backup, ...(time === undefined ? {} : { time: time instanceof Date ? time.toISOString() : time }), startedBy: await startedBy(context.env) }, { detach: flags.detach === true });
        if (result === undefined) return undefined;
        output.result(result, () => describeDrill(result));
        for (const warning of result.warnings) output.note(warning);
        if (result.status === 'failed') return 6;
        return !result.cleanedUp || result.evidence === null ? 7 : undefined;
      }),
    );
};
