import { lstat, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { defineAction } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { endNamed, largestProcesses, type ProcessFacts } from '../../../providers/host/largest-processes.ts';
import { durationField, hostField, inputOf, textField } from '../input.ts';

const largestSchema = z.strictObject({ by: z.enum(['memory', 'cpu']).default('memory').meta({ description: 'Resident memory, or CPU time of the last second.' }), count: z.number().int().min(1).max(50).default(5), host: hostField });
type LargestInput = z.output<typeof largestSchema>;

/** Records, ends nothing. */
export const hostProcesses = defineAction<LargestInput, Record<string, never>, { readonly processes: readonly ProcessFacts[] }>({
  name: 'host.processes',
  version: 1,
  description: 'Records the largest processes of a host, by memory or CPU.',
  effect: 'none',
  ...inputOf<LargestInput>(largestSchema),
  outputs: ['processes'],
  subject: ({ by }) => by,
  host: ({ host }) => host,
  async apply({ input, signal }) {
    const processes = await largestProcesses(input.by, input.count, signal);
    return { summary: processes.map(({ name, pid, rssBytes, cpuPercent }) => `${name} (${String(pid)}) ${input.by === 'memory' ? `${(rssBytes / 1048576).toFixed(0)} MiB` : `${cpuPercent.toFixed(0)} %`}`).join(', '), output: { processes } };
  },
});

const endSchema = z.strictObject({
  names: z.array(textField('Name of a program, exactly as in /proc/PID/comm.')).min(1).max(20).meta({ kind: 'list of text', description: 'Only processes of these names are ended.' }),
  grace: durationField('Between SIGTERM and SIGKILL.').default(10_000),
  host: hostField,
});
type EndInput = z.output<typeof endSchema>;

/** Only what the plan names; never this worker, its parents, or process 1. */
export const hostEndProcesses = defineAction<EndInput, Record<string, never>, { readonly ended: number }>({
  name: 'host.end-processes',
  version: 1,
  description: 'Ends processes by the names the plan gives: SIGTERM, and SIGKILL after a time of grace.',
  effect: 'converge',
  ...inputOf<EndInput>(endSchema),
  outputs: ['ended'],
  subject: ({ names }) => names.join(', '),
  host: ({ host }) => host,
  async apply({ input, signal }) {
    const ended = await endNamed(input.names, input.grace, signal);
    return { summary: `${String(ended)} processes ended`, output: { ended } };
  },
});

const logSchema = z.strictObject({
  directory: textField('Directory; not below it unless `deep`.').refine((value) => value.startsWith('/') && !value.split('/').includes('..'), 'is not an absolute path without ..').default('/var/log'),
  suffix: textField('Only files whose names end so.').default('.log'),
  olderThan: durationField('Only files that were not written for so long.').default(7 * 86_400_000),
  deep: z.boolean().default(false),
  host: hostField,
});
type LogInput = z.output<typeof logSchema>;

interface Found {
  readonly path: string;
  readonly bytes: number;
}

/** Regular files only; links are neither followed nor removed. */
async function oldLogs({ directory, suffix, olderThan, deep }: LogInput, now: number): Promise<Found[]> {
  const found: Found[] = [];
  const visit = async (dir: string): Promise<void> => {
    const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
      throw new ResurgoError('hostFailed', `${dir} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    });
    for (const entry of entries) {
      const path = join(dir, entry.name);
      if (entry.isDirectory() && deep) await visit(path);
      if (!entry.isFile() || !entry.name.endsWith(suffix)) continue;
      const info = await lstat(path).catch(() => undefined);
      if (info?.isFile() === true && now - info.mtimeMs > olderThan) found.push({ path, bytes: info.blocks * 512 });
    }
  };
  await visit(directory);
  return found;
}

const mebibytes = (files: readonly Found[]): string => `${(files.reduce((sum, { bytes }) => sum + bytes, 0) / 1048576).toFixed(1)} MiB`;

export const hostCleanLogs = defineAction<LogInput, Record<string, never>, { readonly removed: number; readonly freedBytes: number }>({
  name: 'host.clean-logs',
  version: 1,
  description: 'Removes old log files of a directory; the preview lists them.',
  effect: 'converge',
  pointOfNoReturn: false,
  ...inputOf<LogInput>(logSchema),
  outputs: ['removed', 'freedBytes'],
  subject: ({ directory, suffix }) => `${directory}/*${suffix}`,
  host: ({ host }) => host,
  async check({ input }) {
    const files = await oldLogs(input, Date.now());
    return [`${String(files.length)} files, ${mebibytes(files)}`, ...files.slice(0, 50).map(({ path }) => path), ...(files.length > 50 ? [`and ${String(files.length - 50)} more`] : [])];
  },
  async apply({ input, report }) {
    const files = await oldLogs(input, Date.now());
    let removed = 0;
    let freedBytes = 0;
    const failures: string[] = [];
    for (const { path, bytes } of files) {
      try {
        await unlink(path);
        removed++;
        freedBytes += bytes;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ENOENT') failures.push(`${path}: ${code ?? 'failed'}`);
      }
      report({ phase: 'clean logs', note: `${String(removed)} of ${String(files.length)}` });
    }
    if (failures.length > 0 && removed === 0) throw new ResurgoError('hostFailed', `no log file could be removed: ${failures.slice(0, 3).join('; ')}`);
    return { summary: `${String(removed)} files removed, ${(freedBytes / 1048576).toFixed(1)} MiB freed${failures.length > 0 ? `; ${String(failures.length)} could not be removed` : ''}`, output: { removed, freedBytes } };
  },
});
