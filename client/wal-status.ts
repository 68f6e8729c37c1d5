/** What the repositories and this host know of the WAL archive of a target. Needs no Temporal. */
import { readFile } from 'node:fs/promises';
import type { LoadedConfig } from '../config/load.ts';
import { walRepositories } from '../config/lookup.ts';
import { isResurgoError } from '../domain/errors.ts';
import { formatLsn } from '../domain/lsn.ts';
import { coverage, newestTime } from '../domain/wal.ts';
import { describeHole, lossesOf } from '../domain/wal-scrub.ts';
import { KeyRing } from '../activities/key-ring.ts';
import { Stores } from '../activities/stores.ts';
import { walHealthPath, type WalHealth } from '../activities/wal/health.ts';
import { listWalSystems, readArchive, withDamaged } from '../providers/wal/archive-read.ts';

export interface WalRepositoryStatus {
  readonly name: string;
  readonly required: boolean;
  readonly lineages: readonly {
    readonly id: string;
    readonly systemId: string;
    readonly createdAt: string;
    readonly reason: string;
    readonly parent: string | null;
    readonly timelines: readonly { readonly timeline: number; readonly stretches: readonly { readonly from: string; readonly to: string }[]; readonly newest: string | null; readonly objects: number; readonly bytes: number; readonly points: readonly { readonly name: string; readonly lsn: string }[] }[];
  }[];
  /** Stretches that are missing or damaged, in words. */
  readonly gaps: readonly string[];
  readonly error?: { readonly code: string; readonly message: string };
}

export interface WalStatus {
  readonly schemaVersion: 1;
  readonly target: string;
  /** Newest moment any repository can be restored to; null: none. */
  readonly newest: string | null;
  /** By this host's clock. */
  readonly rpoMs: number | null;
  readonly repositories: readonly WalRepositoryStatus[];
  /** What the archive on this host told last; null: none runs here. */
  readonly health: WalHealth | null;
}

export async function readWalHealth(stateDir: string, target: string): Promise<WalHealth | null> {
  try {
    return JSON.parse(await readFile(walHealthPath(stateDir, target), 'utf8')) as WalHealth;
  } catch {
    return null;
  }
}

export async function walStatus(loaded: LoadedConfig, target: string, now = Date.now()): Promise<WalStatus> {
  const stores = new Stores(loaded);
  const trusted = await new KeyRing(loaded).trusted().catch(() => [] as string[]);
  try {
    let newest: number | undefined;
    const repositories = await Promise.all(walRepositories(loaded.config, target).map(async ({ name, required }): Promise<WalRepositoryStatus> => {
      try {
        const store = await stores.open(name);
        const archives = (await Promise.all((await listWalSystems(store, target)).map((systemId) => readArchive(store, target, systemId, trusted)))).flat();
        for (const { timelines } of archives) for (const { pieces, givenUp } of timelines) if (givenUp !== true) newest = Math.max(newest ?? 0, newestTime(pieces) ?? 0);
        return {
          name, required, gaps: lossesOf(archives, withDamaged(archives), [], now).map(describeHole),
          lineages: archives.map(({ id, systemId, createdAt, facts, parent, timelines }) => ({
            id, systemId, createdAt, reason: facts.reason, parent: parent?.lineage ?? null,
            timelines: timelines.map(({ timeline, pieces, points }) => ({
              timeline, objects: pieces.length, bytes: pieces.reduce((sum, { bytes }) => sum + bytes, 0),
              stretches: coverage(pieces).map(({ start, end }) => ({ from: formatLsn(start), to: formatLsn(end) })),
              newest: iso(newestTime(pieces)), points: points.map(({ name: point, lsn }) => ({ name: point, lsn: formatLsn(lsn) })),
            })),
          })),
        };
      } catch (error) {
        if (!isResurgoError(error)) throw error;
        return { name, required, lineages: [], gaps: [], error: { code: error.code, message: error.message } };
      }
    }));
    return { schemaVersion: 1, target, newest: iso(newest), rpoMs: newest === undefined || newest === 0 ? null : Math.max(0, now - newest), repositories, health: await readWalHealth(loaded.stateDir, target) };
  } finally {
    await stores.close();
  }
}

const iso = (time: number | undefined): string | null => (time === undefined || time === 0 ? null : new Date(time).toISOString());
