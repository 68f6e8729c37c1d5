import { Option } from 'commander';
import { ResurgoError } from '../../domain/errors.ts';
import type { ArchiveInput } from '../../domain/archive.ts';
import type { FetchFormat } from '../archive/outputs.ts';
import type { Register } from './index.ts';

interface ArchiveFlags {
  readonly before?: string;
  readonly preview?: boolean;
  readonly detach?: boolean;
  readonly onBusy: string;
  readonly from?: string;
  readonly to?: string;
  readonly table?: readonly string[];
  readonly toFile?: string;
  readonly format: FetchFormat;
  readonly scratchTable?: string;
}

export const registerArchive: Register = (program, cli) => {
  program
    .command('archive')
    .description('move old rows into the archive; `archive fetch TARGET --from D --to D` reads them back')
    .argument('<target>', 'the target, or `fetch`')
    .argument('[name]', 'with `fetch`: the target')
    .option('--before <date>', 'rows from before this, in place of the configured age')
    .option('--preview', 'only count what would be moved')
    .option('--on-busy <what>', 'when another operation holds the target: wait, skip or refuse', 'wait')
    .option('--detach', 'start it and return')
    .option('--from <date>', 'with `fetch`: rows from this date or time (UTC) on')
    .option('--to <date>', 'with `fetch`: up to the end of this date, or before this time')
    .option('--table <name...>', 'with `fetch`: only these tables, as the configuration names them')
    .option('--to-file <path>', 'with `fetch`: into this file; several tables: a file each in this directory')
    .addOption(new Option('--format <format>', 'with `fetch --to-file`').choices(['csv', 'copy', 'jsonl']).default('csv'))
    .option('--scratch-table <name>', 'with `fetch`: into a new table in the database of the target; several tables: NAME_<table>')
    .action(
      cli.action(async (context, first: string, name: string | undefined, flags: ArchiveFlags) => {
        const loaded = await context.loadConfig();
        const { assertTarget } = await import('../targets.ts');
        const { output } = context;
        if (first === 'fetch' && name !== undefined) {
          if (flags.from === undefined || flags.to === undefined) throw new ResurgoError('usage', '`archive fetch` needs --from and --to');
          assertTarget(loaded, name);
          const { fetchArchived } = await import('../archive/fetch.ts');
          const fetched = await fetchArchived(loaded, {
            target: name, from: flags.from, to: flags.to, format: flags.format, signal: context.signal, onNote: (text) => { output.note(text); },
            ...(flags.table === undefined ? {} : { tables: flags.table }), ...(flags.toFile === undefined ? {} : { file: flags.toFile }), ...(flags.scratchTable === undefined ? {} : { scratchTable: flags.scratchTable }),
          });
          output.result(fetched, () => (fetched.tables.length === 0 ? 'no archived rows in that range' : fetched.tables.map((one) => `${one.table}: ${String(one.records)} rows from ${String(one.archives)} archive(s) → ${one.to}`).join('\n')));
          for (const warning of fetched.warnings) output.warn(warning);
          return fetched.warnings.length > 0 ? 7 : undefined;
        }
        if (name !== undefined) throw new ResurgoError('usage', `unexpected argument ${name}`);
        const misplaced = (['from', 'to', 'table', 'toFile', 'scratchTable'] as const).find((flag) => flags[flag] !== undefined);
        if (misplaced !== undefined) throw new ResurgoError('usage', `--${misplaced.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} goes with \`archive fetch\``);
        const { onBusy } = flags;
        if (onBusy !== 'wait' && onBusy !== 'skip' && onBusy !== 'refuse') throw new ResurgoError('usage', `--on-busy ${onBusy} is none of wait, skip, refuse`);
        assertTarget(loaded, first);
        const { runAndFollow, startedBy } = await import('../session.ts');
        const input: ArchiveInput = { target: first, onBusy, startedBy: await startedBy(context.env), ...(flags.before === undefined ? {} : { before: flags.before }), ...(flags.preview === true ? { preview: true } : {}) };
        const result = await runAndFollow(context, 'archive', input, { detach: flags.detach === true });
        if (result === undefined) return undefined;
        const { archiveExitCode, describeArchive } = await import('../archive/describe.ts');
        output.result(result, () => describeArchive(result));
        for (const warning of result.warnings) output.note(`warning: ${warning}`);
        return archiveExitCode(result);
      }),
    );
};
