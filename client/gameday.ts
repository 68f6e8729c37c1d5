import { ResurgoError } from '../domain/errors.ts';
import type { DisasterKind, GameDayInput } from '../domain/gameday.ts';
import type { CliContext, Outcome } from './cli-context.ts';

export interface GameDayFlags {
  readonly target?: string;
  readonly disaster?: DisasterKind;
  readonly table?: string;
  readonly where?: string;
  readonly backup?: string;
  readonly mode?: 'graceful' | 'ungraceful';
  readonly param?: readonly string[];
  readonly detach?: boolean;
}

/** Runs a game day and tells how it went. Exit code 6 when it failed or missed an objective, 7 when something was left behind. */
export async function gameDayCommand(context: CliContext, plan: string, flags: GameDayFlags): Promise<Outcome> {
  const loaded = await context.loadConfig();
  if (flags.disaster === undefined && (flags.table !== undefined || flags.where !== undefined)) throw new ResurgoError('usage', '--table and --where go with --disaster');
  const [{ runAndFollow, startedBy }, { describeGameDay }, { paramsOf }] = await Promise.all([import('./session.ts'), import('./describe-gameday.ts'), import('./plan/input.ts')]);
  const params = paramsOf(loaded.config, plan, flags.param ?? []);
  const input: GameDayInput = {
    plan,
    ...(flags.target === undefined ? {} : { target: flags.target }),
    ...(flags.disaster === undefined ? {} : { disaster: { kind: flags.disaster, ...(flags.table === undefined ? {} : { table: flags.table }), ...(flags.where === undefined ? {} : { where: flags.where }) } }),
    ...(flags.backup === undefined ? {} : { backup: flags.backup }), ...(flags.mode === undefined ? {} : { mode: flags.mode }),
    ...(Object.keys(params).length === 0 ? {} : { params }), startedBy: await startedBy(context.env),
  };
  const { output } = context;
  const result = await runAndFollow(context, 'gameday', input, { detach: flags.detach === true });
  if (result === undefined) return undefined;
  output.result(result, () => describeGameDay(result));
  for (const warning of result.warnings) output.note(warning);
  if (result.status === 'failed') return 6;
  return !result.cleanedUp || result.evidence === null ? 7 : undefined;
}
