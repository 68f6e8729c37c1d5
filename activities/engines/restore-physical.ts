import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PhysicalFacts } from '../../domain/backup.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import { freeBytes } from '../../providers/host/space.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { confirmSwap, findSwap, settleBuild, swapBack, swapIn } from '../../providers/postgres/in-place-physical.ts';
import { assertNotRunning } from '../../providers/postgres/cluster-processes.ts';
import { buildPhysical, discardBuild } from '../../providers/postgres/physical-restore.ts';
import { contentOf, planPlaces, type RestorePlaces } from '../../providers/postgres/restore-places.ts';
import { serverFacts } from '../../providers/postgres/server-facts.ts';
import type { ActivityDeps } from '../deps.ts';
import { replayTo } from '../restore-recovery.ts';
import type { PostgresSettings } from '../target-settings.ts';
import type { RestoreEngine } from './restore-engine.ts';
import { checkScratchCluster } from './scratch-cluster.ts';

/** How long a started server may take to answer: it replays the WAL of its backup first. */
const answerWithinMs = 10 * 60_000;

/** Restores a cluster: built beside its destination, then moved there, or swapped in by rename. */
export function physicalRestoreEngine(deps: ActivityDeps, settings: PostgresSettings): RestoreEngine {
  const placesOf = (plan: RestorePlan): RestorePlaces => plan.engineState as RestorePlaces;

  const destinationOf = (mode: RestorePlan['mode'], id: string, to: string | undefined): string => {
    if (mode === 'beside') return resolve(to as string);
    if (mode === 'scratch') return join(scratchRoot(settings, id), 'data');
    if (settings.dataDir === undefined) {
      throw new ResurgoError('configInvalid', `target ${settings.name} has no dataDir: it is not known where to restore in place`, { details: { hint: `Set targets.${settings.name}.dataDir, or restore beside with --to.` } });
    }
    return settings.dataDir;
  };

  return {
    async inspect(input, chain, open) {
      const mode = input.mode ?? 'beside';
      if ((input.only?.length ?? 0) > 0) throw new ResurgoError('unsupported', 'a physical backup holds the whole cluster; --only goes with logical backups', { details: { hint: 'Restore beside, start it, and take what you need from there.' } });
      if (input.digest === true && mode !== 'scratch') throw new ResurgoError('unsupported', '--digest reads tables, which a data directory that was not started does not have', { details: { hint: 'Use --mode scratch, which starts the restored cluster to check it.' } });
      if (mode === 'beside' && input.to !== undefined && /^\w+:\/\//.test(input.to)) throw new ResurgoError('inputInvalid', `--to ${input.to} is a URL; a physical restore makes a data directory, so give its path`);
      const destination = destinationOf(mode, input.id, input.to);
      const replaces = mode === 'in-place' && ((await contentOf(destination)) ?? []).length > 0;
      if (replaces) {
        const pending = await findSwap(destination);
        if (pending !== undefined && pending.journal.id !== input.id) {
          throw new ResurgoError('destinationBusy', `restore ${pending.journal.id} of ${destination} was neither confirmed nor rolled back`, { details: { hint: `resurgo restore confirm ${pending.journal.id}, or resurgo restore rollback ${pending.journal.id}` } });
        }
        if (settings.service?.stop === undefined) await assertNotRunning(destination);
      }
      const facts = (await open()).index.engine as PhysicalFacts;
      const places = await planPlaces({
        destination, id: input.id, tablespaces: facts.tablespaces, mode: replaces ? 'in-place' : 'new',
        ...(settings.config.tablespaceMap === undefined ? {} : { tablespaceMap: settings.config.tablespaceMap }),
        ...(mode === 'scratch' ? { tablespaceRoot: join(scratchRoot(settings, input.id), 'tablespaces') } : {}),
      });
      const chained = chain.reduce((sum, manifest) => sum + manifest.bytes.source, 0);
      return {
        destination,
        replaces,
        stopsServices: mode === 'in-place' && settings.service?.stop !== undefined,
        requiredBytes: chained,
        freeBytes: await freeBytes(dirname(destination)),
        warnings: mode === 'in-place' && !replaces ? [`${destination} is empty or missing: there is nothing to keep`] : [],
        engineState: places,
      };
    },

    async build(plan, chain, { signal, report }) {
      const places = placesOf(plan);
      const built = await buildPhysical({ chain, places, toolDirs: settings.toolsDirs, signal, onProgress: report });
      const url = plan.recovery === undefined ? undefined : settings.endpoints[0]?.url();
      const replayed = await replayTo(deps, settings, plan, { dataDir: places.work, spool: `${places.staging}.wal`, ...(url === undefined ? {} : { knownRole: resolveConnection(url).user }) }, { signal, report });
      return { bytes: built.bytes, files: built.files, records: null, checks: [...built.checks, ...replayed.checks], warnings: built.warnings };
    },

    async verify(plan, _chain, pulse) {
      // The build has checked every file against its manifest; starting it here would change what is handed over.
      if (plan.mode !== 'scratch') return { checks: [] };
      const url = settings.endpoints[0]?.url();
      const knownRole = url === undefined ? undefined : resolveConnection(url).user;
      return checkScratchCluster({ dataDir: placesOf(plan).work, toolDirs: settings.toolsDirs, digest: plan.digest, ...(knownRole === undefined ? {} : { knownRole }) }, pulse);
    },

    async swapIn(plan) {
      const places = placesOf(plan);
      if (!plan.replaces) {
        await settleBuild(places);
        return {};
      }
      const { kept } = await swapIn(places);
      return { kept };
    },

    async swapBack(plan) {
      const { destination } = placesOf(plan);
      const pending = await findSwap(destination);
      if (pending?.journal.id !== plan.id) return plan.replaces ? 'the old data was never moved' : `there was no old data; what was restored stays at ${destination} if it had got there`;
      const { restored } = await swapBack(destination);
      return restored ? `${destination} is the old data again` : 'the old data was never moved';
    },

    async settle(plan) {
      const places = placesOf(plan);
      if (plan.mode === 'scratch') {
        await discardBuild(places);
        await removeScratch(settings, plan.id);
        return 'the scratch cluster was removed';
      }
      const { dataDir } = await settleBuild(places);
      return `${dataDir} is ready to be started`;
    },

    async discard(plan) {
      await discardBuild(placesOf(plan));
      if (plan.mode === 'scratch') await removeScratch(settings, plan.id);
      return `${placesOf(plan).work} was removed`;
    },

    async health(plan, { signal }) {
      if (settings.service?.start === undefined) return `no start hook: start the server on ${plan.destination} yourself`;
      return waitForServer(settings, signal);
    },

    async keeps(plan) {
      return (await findSwap(placesOf(plan).destination))?.journal.id === plan.id;
    },

    async confirm(plan) {
      const { destination } = placesOf(plan);
      const pending = await findSwap(destination);
      if (pending === undefined) return 'the old data is gone already';
      if (pending.journal.id !== plan.id) throw new ResurgoError('inputInvalid', `what is kept at ${destination} belongs to restore ${pending.journal.id}, not ${plan.id}`);
      const { removed } = await confirmSwap(destination);
      return `${removed} was removed`;
    },

    async rollback(plan) {
      const { destination } = placesOf(plan);
      const pending = await findSwap(destination);
      if (pending?.journal.id !== plan.id) throw new ResurgoError('inputInvalid', `there is no kept copy of restore ${plan.id} at ${destination}: it was confirmed or rolled back before`);
      const { failed } = await swapBack(destination, { keepFailed: true });
      return `${destination} is the old data again${failed === undefined ? '' : `; the restored copy is kept as ${failed}`}`;
    },
  };
}

/** A directory the server's user can reach: not below our state directory, which is ours alone. */
const scratchRoot = (settings: PostgresSettings, id: string): string => join(settings.config.staging ?? (settings.dataDir === undefined ? tmpdir() : dirname(settings.dataDir)), `resurgo-scratch-${id}`);

async function removeScratch(settings: PostgresSettings, id: string): Promise<void> {
  const { rm } = await import('node:fs/promises');
  await rm(scratchRoot(settings, id), { recursive: true, force: true });
}

/** Waits until the primary answers, out of recovery. @throws restoreMismatch when it does not in time */
async function waitForServer(settings: PostgresSettings, signal: AbortSignal): Promise<string> {
  const [endpoint] = settings.endpoints;
  if (endpoint === undefined) throw new ResurgoError('configInvalid', `target ${settings.name} has no connection`);
  const deadline = Date.now() + answerWithinMs;
  for (;;) {
    try {
      const connection = resolveConnection(endpoint.url(), endpoint.overrides());
      const facts = await serverFacts(connection);
      if (!facts.inRecovery) return `PostgreSQL ${facts.version} answers at ${connection.redacted}`;
    } catch (error) {
      if (!isResurgoError(error, 'sourceUnreachable') || Date.now() > deadline) throw error;
    }
    if (Date.now() > deadline) throw new ResurgoError('restoreMismatch', `the restored server of ${settings.name} is still in recovery after ${String(answerWithinMs / 60_000)} minutes`);
    await sleep(250, undefined, { signal });
  }
}
