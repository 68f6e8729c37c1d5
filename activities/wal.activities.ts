import { z } from 'zod';
import { namePattern } from '../domain/ids.ts';
import type { WalArchiveInput, WalReadBack } from '../domain/operations.ts';
import { parseInput } from './announce.activities.ts';
import type { ActivityDeps } from './deps.ts';
import { withPulse } from './heartbeat.ts';
import { targetSettings } from './target-settings.ts';
import { readBackWal, walPlaces, type ReadBackInput } from './wal/read-back.ts';
import { archiveWal, type ArchiveInput, type ArchiveOutcome } from './wal/archive.ts';

const walInput = z.strictObject({ schemaVersion: z.literal(1).optional(), target: z.string().regex(namePattern, 'is not a target name'), startedBy: z.string().max(200).optional(), asked: z.array(z.strictObject({ stretch: z.string(), at: z.number() })).optional() });

export function walActivities(deps: ActivityDeps) {
  return {
    /** Effect: none. */
    async announceWal(input: WalArchiveInput): Promise<{ target: string; enabled: boolean; host: string | null; searchAttributes: boolean }> {
      const { target } = parseInput(walInput, input, 'walArchive');
      const settings = targetSettings(deps, target);
      return { target, enabled: settings.config.type === 'postgres' && settings.config.wal === true && settings.engine === 'physical', host: settings.host ?? null, searchAttributes: deps.searchAttributes };
    },

    /**
     * Streams WAL into the repositories until time is up. Effect: objects of the archive, the slot on primary and standbys. Idempotency: goes on where
     * the required repositories end; two at once store the same bytes. Heartbeat: positions. Failure: everything but a missing right or key is tried again.
     */
    archiveWal: (input: ArchiveInput): Promise<ArchiveOutcome> => withPulse((pulse) => archiveWal(deps, input, pulse), deps),

    /** Which repositories hold WAL of a target. Effect: none. */
    listWalPlaces: async ({ target }: { readonly target: string }): Promise<string[]> => walPlaces(deps, target),

    /**
     * Reads back archived WAL in one repository. Effect: the note of what was read; where asked, objects of other repositories in the place of damaged ones.
     * Idempotency: what is whole is not written. Heartbeat: bytes. Failure: damage is a result, not an error; an unreachable store is tried again.
     */
    readBackWal: (input: ReadBackInput): Promise<WalReadBack> => withPulse((pulse) => readBackWal(deps, input, pulse), deps),
  };
}
