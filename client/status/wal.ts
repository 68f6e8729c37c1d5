/** What the WAL archive adds to the status of a target. */
import type { LoadedConfig } from '../../config/load.ts';
import { hasWal } from '../../config/lookup.ts';
import { readWalHealth, walStatus } from '../wal-status.ts';
import type { WalFacts } from './judge.ts';

/** Undefined: the target has no archive. */
export async function walFacts(loaded: LoadedConfig, target: string, now: number): Promise<WalFacts | undefined> {
  if (!hasWal(loaded.config, target)) return undefined;
  const [status, health] = await Promise.all([walStatus(loaded, target, now), readWalHealth(loaded.stateDir, target)]);
  const [first] = status.repositories.filter(({ lineages }) => lineages.length > 0);
  const [lineage] = first?.lineages ?? [];
  const fresh = health !== null && now - Date.parse(health.at) < 120_000;
  return {
    newest: status.newest,
    lineageSince: lineage?.createdAt ?? null,
    gaps: status.repositories.flatMap(({ name, gaps }) => gaps.map((gap) => `${name}: ${gap}`)),
    problems: fresh ? health.problems : [],
    running: fresh ? true : health === null ? null : false,
  };
}
