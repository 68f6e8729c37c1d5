import { Option, type Command } from 'commander';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { RestoreInput, RestoreMode, RestoreResult } from '../../domain/operations.ts';
import type { CliContext, Outcome } from '../cli-context.ts';
import type { Register } from './index.ts';

export interface RestoreFlags {
  readonly backup: string;
  readonly mode?: string;
  readonly to?: string;
  readonly only?: string[];
  readonly downtime: boolean;
  readonly digest?: boolean;
  readonly preview?: boolean;
  readonly detach?: boolean;
  readonly target?: string;
  readonly time?: string;
  readonly lsn?: string;
  readonly point?: string;
  readonly timeline?: string;
}

const modes: readonly string[] = ['in-place', 'beside', 'scratch'];

/** Options that `restore` and `rescue restore` share. */
export const restoreOptions = (command: Command): Command =>
  command
    .option('--backup <which>', 'backup id, date, or latest', 'latest')
    .addOption(new Option('--mode <mode>', 'where the data goes (default: beside when --to is given)').choices(modes))
    .option('--to <destination>', 'logical: a new database name or a connection URL; physical, files: an empty directory')
    .option('--only <part...>', 'only these parts: schemas or schema.table (logical), whole paths (files)')
    .option('--no-downtime', 'refuse instead of stopping services')
    .option('--digest', 'per-table digests of the restored data in the result (logical; physical with --mode scratch)')
    .option('--time <time>', 'point in time: what was committed by then (local time without a zone), or latest: the end of the WAL archive')
    .option('--lsn <lsn>', 'point in time by LSN: everything written before it')
    .option('--point <name>', 'named restore point (pg_create_restore_point)')
    .option('--timeline <n>', 'with a point in time: the timeline that is meant, where several fit')
    .option('--preview', 'decide and show everything, touch nothing');

/** @throws usage, unsupported */
export function restoreInput(target: string, flags: RestoreFlags): RestoreInput {
  if (flags.mode === undefined && flags.to === undefined) throw new ResurgoError('usage', 'where to? Give --to DESTINATION, --mode in-place or --mode scratch');
  if (flags.to !== undefined && /^postgres(ql)?:\/\/[^/@]*:[^/@]+@/.test(flags.to)) {
    throw new ResurgoError('usage', '--to holds a password, which would stay in the run\'s history', { details: { hint: 'Leave it out of the URL; the worker takes it from PGPASSWORD or its ~/.pgpass.' } });
  }
  return {
    target,
    backup: flags.backup,
    mode: (flags.mode ?? 'beside') as RestoreMode,
    ...pointOf(flags),
    ...(flags.to === undefined ? {} : { to: flags.to }),
    ...(flags.only === undefined ? {} : { only: flags.only }),
    ...(flags.downtime ? {} : { noDowntime: true }),
    ...(flags.digest === true ? { digest: true } : {}),
    ...(flags.preview === true ? { preview: true } : {}),
  };
}

/** @throws usage */
function pointOf(flags: RestoreFlags): Pick<RestoreInput, 'time' | 'lsn' | 'point' | 'timeline'> {
  const said = (['time', 'lsn', 'point'] as const).filter((name) => flags[name] !== undefined);
  if (said.length > 1) throw new ResurgoError('usage', `--${said.join(' and --')} exclude each other: one point in time`);
  if (flags.timeline !== undefined && said.length === 0) throw new ResurgoError('usage', '--timeline goes with --time, --lsn or --point');
  if (flags.timeline !== undefined && !/^[1-9]\d{0,9}$/.test(flags.timeline)) throw new ResurgoError('usage', `--timeline ${flags.timeline} is not a timeline (1, 2 …)`);
  let time = flags.time;
  if (time !== undefined && time !== 'latest') {
    const at = Date.parse(time);
    if (Number.isNaN(at)) throw new ResurgoError('usage', `--time ${time} is neither a time (2026-11-25T14:03:00Z, or local "2026-11-25 14:03:00") nor latest`);
    // With what stands behind the milliseconds: two commits may lie in one.
    time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+Z$/.test(time) ? time : new Date(at).toISOString();
  }
  return { ...(time === undefined ? {} : { time }), ...(flags.lsn === undefined ? {} : { lsn: flags.lsn }), ...(flags.point === undefined ? {} : { point: flags.point }), ...(flags.timeline === undefined ? {} : { timeline: Number(flags.timeline) }) };
}

/** Prints a restore's result, also of one that failed. @returns the exit code */
export async function showRestore(context: CliContext, result: RestoreResult): Promise<Outcome> {
  const { describeRestore } = await import('../describe-result.ts');
  context.output.result(result, () => describeRestore(result));
  for (const warning of result.warnings) context.output.note(`warning: ${warning}`);
  return result.status === 'restored' || result.status === 'preview' ? undefined : result.status === 'restored-with-warnings' ? 7 : undefined;
}

/** A restore that failed tells all its steps; refused before anything was touched keeps its own exit code, compensated is 4. */
export async function showFailedRestore(context: CliContext, error: unknown): Promise<Outcome> {
  const result = isResurgoError(error) ? (error.details['result'] as RestoreResult | undefined) : undefined;
  if (result === undefined || !isResurgoError(error)) throw error;
  const touched = result.steps.some((step) => step.name !== 'validate');
  if (!touched) throw error;
  if (context.output.json) context.output.result({ ...result, error: { ...result.error, kind: error.definition.kind } }, '');
  else await showRestore(context, result);
  context.output.error(error.message, error.hint);
  return error.code === 'compensationFailed' || error.code === 'outcomeUnknown' ? 5 : error.code === 'cancelled' ? 130 : result.status === 'compensated' ? 4 : 1;
}

export const registerRestore: Register = (program, cli) => {
  const restore = program.command('restore').description('restore a target; `restore confirm|rollback ID` ends an in-place restore');
  restoreOptions(restore.argument('<target>').argument('[id]', 'with confirm or rollback: the restore'))
    .option('--target <name>', 'with confirm or rollback: the target, when no record of the restore is on this host')
    .option('--detach', 'start it and return')
    .action(
      cli.action(async (context, first: string, id: string | undefined, flags: RestoreFlags) => {
        const { runAndFollow, startedBy } = await import('../session.ts');
        if ((first === 'confirm' || first === 'rollback') && id !== undefined) {
          const { targetOfRestore } = await import('../restore-target.ts');
          const target = flags.target ?? (await targetOfRestore(await context.loadConfig(), id));
          const finished = await runAndFollow(context, 'finishRestore', { id, target, action: first }, { detach: flags.detach === true });
          if (finished !== undefined) context.output.result(finished, `restore ${id} of ${target}: ${finished.detail}`);
          return undefined;
        }
        if (id !== undefined) throw new ResurgoError('usage', `unexpected argument ${id}`);
        const { assertTarget } = await import('../targets.ts');
        assertTarget(await context.loadConfig(), first);
        try {
          const result = await runAndFollow(context, 'restore', { ...restoreInput(first, flags), startedBy: await startedBy(context.env) }, { detach: flags.detach === true });
          return result === undefined ? undefined : await showRestore(context, result);
        } catch (error) {
          return showFailedRestore(context, error);
        }
      }),
    );
};
