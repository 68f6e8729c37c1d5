/** One run of the WAL archive of a target: finds the primary, decides where to go on, streams and stores until it is told to stop. */
import { ResurgoError } from '../../domain/errors.ts';
import type { ActivityDeps } from '../deps.ts';
import type { Pulse } from '../heartbeat.ts';
import { postgresSettings, targetSettings } from '../target-settings.ts';
import { beginRun } from './begin.ts';
import type { BareStretch } from './gaps.ts';
import { openRun } from './run.ts';
import { streamRun } from './stream.ts';

export interface ArchiveInput {
  readonly target: string;
  /** Stretches for which the workflow has asked for a base backup already. */
  readonly asked: readonly string[];
  /** The run ends by itself after this, so that the workflow can begin a new history. */
  readonly forMs: number;
}

export interface ArchiveOutcome extends Partial<BareStretch> {
  readonly ended: 'time' | 'needsBackup';
}

export async function archiveWal(deps: ActivityDeps, input: ArchiveInput, pulse: Pulse): Promise<ArchiveOutcome> {
  const settings = targetSettings(deps, input.target);
  if (settings.config.type !== 'postgres' || settings.engine !== 'physical' || settings.config.wal !== true) throw new ResurgoError('configInvalid', `target ${input.target} has no WAL archive (wal: true with engine: physical)`);
  const until = Date.now() + input.forMs;
  pulse.report({ phase: 'connect' });
  const run = await openRun(deps, postgresSettings(settings), pulse);
  try {
    const needed = await beginRun(run, input.asked);
    if (needed !== undefined) return { ended: 'needsBackup', ...needed };
    await streamRun(run, until);
    return { ended: 'time' };
  } finally {
    await run.close();
  }
}
