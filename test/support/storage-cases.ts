/** Operations that {@link sweep} goes through, each with what must be true of it. Import only where workflows run here (see workflows-here.ts). */
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackupResult, PruneReport, RestoreResult, UpkeepReport, VerifyReport } from '../../domain/operations.ts';
import { keysOf, keysPrefix } from '../../providers/repository/layout.ts';
import { writeState } from '../../providers/repository/catalogue.ts';
import { backup } from '../../workflows/backup.workflow.ts';
import { backupOperation } from '../../workflows/backup-operation.workflow.ts';
import { prune } from '../../workflows/prune.workflow.ts';
import { pruneOperation } from '../../workflows/prune-operation.workflow.ts';
import { finishRestore, finishRestoreRun, restore, restoreOperation, restoreRun } from '../../workflows/restore.workflow.ts';
import { upkeep, upkeepOperation } from '../../workflows/upkeep.workflow.ts';
import { verify } from '../../workflows/verify.workflow.ts';
import { StorageSweep, smallTree, type Outcome, type SweepCase } from './storage-sweep.ts';
import { describeTree } from './tree.ts';

const children = { backupOperation, pruneOperation, restoreOperation, restoreRun, finishRestoreRun, upkeepOperation };

type Kinds = Readonly<Record<string, 'disk' | 's3'>>;
export interface Prepared<R = unknown> {
  readonly arena: StorageSweep;
  readonly steps: SweepCase<R>;
}

const must = <R>({ value, error }: Outcome<R>): R => {
  if (value === undefined) throw new Error(`the preparation failed: ${error?.message ?? ''}`);
  return value;
};
const take = (arena: StorageSweep, kind: 'full' | 'incremental' = 'full', broken?: Parameters<StorageSweep['run']>[3]): Promise<Outcome<BackupResult>> => arena.run(backup, { kind }, children, broken);

async function arenaWith(dir: string, repositories: Kinds, sections: Readonly<Record<string, unknown>> = {}): Promise<StorageSweep> {
  const source = join(dir, 'source');
  smallTree(source);
  return StorageSweep.create({ dir, repositories, source, sections: { deletion: { grace: '0s' }, ...sections } });
}

/** A full (or an incremental one, on a full that the second repository lacks) into the repositories. */
export async function backupCase(dir: string, repositories: Kinds, kind: 'full' | 'incremental' = 'full'): Promise<Prepared<BackupResult>> {
  const arena = await arenaWith(dir, repositories);
  if (kind === 'incremental') {
    must(await take(arena));
    writeFileSync(join(dir, 'source', 'three'), 'changed\n');
    const [, second] = Object.keys(repositories);
    const { objects } = arena.memory.get(second ?? '') ?? {};
    for (const key of objects?.keys() ?? []) if (key !== 'repository.json') objects?.delete(key);
  }
  arena.save();
  const named = (result: BackupResult): Promise<string[]> =>
    Promise.all(result.repositories.map(async ({ name, status }) => {
      const there = (await arena.listed(name)).find((ref) => ref.id === result.id && ref.published);
      // One that is called failed may be there: its answer was lost at the very end.
      return status !== 'verified' || there !== undefined ? '' : `${name} is called ${status}, and it is not there`;
    })).then((problems) => problems.filter((problem) => problem !== ''));
  return {
    arena,
    steps: {
      operate: (broken) => take(arena, kind, broken),
      honest: async ({ value }) => (value === undefined ? [] : [...(await named(value)), ...(value.complete === value.repositories.every(({ status }) => status === 'verified') ? [] : ['complete is not told right'])]),
      converged: async ({ value }) => [...(value === undefined ? [] : await named(value)), ...(value?.complete === false ? [`not complete: ${value.warnings.join('; ')}`] : []), ...(await arena.strays()).map((key) => `left behind: ${key}`)],
    },
  };
}

/** A chain of two out of two repositories. */
export async function restoreCase(dir: string, mode: 'beside' | 'in-place'): Promise<Prepared<RestoreResult>> {
  const arena = await arenaWith(dir, { local: 'disk', far: 's3' });
  const source = join(dir, 'source');
  must(await take(arena));
  writeFileSync(join(source, 'three'), 'changed\n');
  const { id } = must(await take(arena, 'incremental'));
  const wanted = describeTree(source);
  writeFileSync(join(source, 'three'), 'spoiled\n');
  let spoiled = describeTree(source);
  const to = join(dir, 'restored');
  arena.save();
  const whole = (): string[] => {
    if (mode === 'beside') return !existsSync(join(to, source)) ? ['nothing was restored'] : describeTree(join(to, source)) === wanted ? [] : ['what was restored is not what was backed up'];
    return describeTree(source) === wanted ? [] : ['what was restored is not what was backed up'];
  };
  const untouched = (): string[] => (mode === 'beside' ? (existsSync(to) ? ['a failed restore left its destination'] : []) : describeTree(source) === spoiled ? [] : ['a failed restore changed what was there']);
  let last: Outcome<RestoreResult> | undefined;
  return {
    arena,
    steps: {
      begin: async () => {
        rmSync(to, { recursive: true, force: true });
        // What an earlier restore kept, and its journal.
        for (const name of readdirSync(dir)) if (/^(\.?source|\.resurgo-)/.test(name)) rmSync(join(dir, name), { recursive: true, force: true });
        last = undefined;
        smallTree(source);
        writeFileSync(join(source, 'three'), 'spoiled\n');
        spoiled = describeTree(source);
      },
      operate: async (broken) => {
        // A restore that went well is not done twice into one place.
        if (broken === undefined && last?.value !== undefined && mode === 'beside') rmSync(to, { recursive: true, force: true });
        if (broken === undefined && last?.value !== undefined && mode === 'in-place') must(await arena.run(finishRestore, { id: last.value.id, action: 'confirm' } as never, children));
        last = await arena.run(restore, { mode, backup: id, ...(mode === 'beside' ? { to } : {}) }, children, broken);
        return last;
      },
      honest: ({ value }) => (value === undefined ? untouched() : whole()),
      converged: async ({ value }) => {
        const problems = value === undefined ? [] : whole();
        const left = (await arena.strays()).filter((key) => mode === 'beside' || !key.startsWith('restoring/'));
        if (value !== undefined && mode === 'in-place') must(await arena.run(finishRestore, { id: value.id, action: 'confirm' } as never, children));
        last = undefined;
        return [...problems, ...left.map((key) => `left behind: ${key}`)];
      },
    },
  };
}

/** Two chains and a single one in two repositories; the rules keep the newest. One is on hold. */
export async function pruneCase(dir: string, grace: boolean): Promise<Prepared<PruneReport>> {
  const arena = await arenaWith(dir, { local: 'disk', far: 's3' }, { retention: [{ last: 1 }], deletion: { grace: grace ? '1h' : '0s' } });
  // Without rules meanwhile, or each backup would prune.
  const taken = async (kind: 'full' | 'incremental'): Promise<string> => must(await arena.run<object, BackupResult>(backupOperation as never, { id: `b${String(Date.now()).slice(-6)}${String(Math.random()).slice(2, 6)}`, kind, startedBy: 'test', host: null, searchAttributes: false }, children)).id;
  await taken('full');
  await taken('incremental');
  const held = await taken('full');
  await taken('full');
  await taken('incremental');
  for (const store of arena.memory.values()) {
    const ref = (await arena.listed(store.name)).find(({ id }) => id === held);
    if (ref !== undefined) await writeState(store, ref, 'hold', { reason: 'test' });
  }
  arena.save();
  must(await arena.run(prune, {}, children));
  const end = new Map([...arena.memory.keys()].map((name) => [name, arena.keysOf(name).join('\n')]));
  const kept = new Map(await Promise.all([...arena.memory.keys()].map(async (name): Promise<[string, string[]]> => [name, (await arena.listed(name)).map((ref) => ref.id).sort()])));
  return {
    arena,
    steps: {
      operate: (broken) => arena.run(prune, {}, children, broken),
      honest: async ({ value }) => {
        const problems: string[] = [];
        for (const [name, ids] of kept) {
          const there = (await arena.listed(name)).filter((ref) => ref.state.includes('verified')).map((ref) => ref.id);
          for (const id of ids) if (!there.includes(id)) problems.push(`${id} is gone from ${name}`);
        }
        for (const repository of value?.repositories ?? []) {
          for (const entry of repository.backups) {
            if (entry.outcome !== 'removed') continue;
            const keys = keysOf({ target: arena.target, systemId: entry.systemId, name: entry.name });
            const left = arena.keysOf(repository.name).filter((key) => key.startsWith(keys.prefix) || key.startsWith(keysPrefix(entry.id)) || key.startsWith(keys.state('x').slice(0, -1)));
            if (!grace && left.length > 0) problems.push(`${entry.name} is called removed from ${repository.name}, which holds ${left.join(', ')}`);
            if (grace && !left.includes(keys.state('deleted'))) problems.push(`${entry.name} is called removed from ${repository.name}, and nothing says so there`);
          }
        }
        return problems;
      },
      converged: ({ value }) => [...(value?.status === 'pruned' ? [] : [`it is called ${String(value?.status)}: ${String(value?.warnings.join('; '))}`]), ...[...end].flatMap(([name, keys]) => (arena.keysOf(name).join('\n') === keys ? [] : [`${name} is not as one run leaves it: ${difference(keys.split('\n'), arena.keysOf(name))}`]))],
    },
  };
}

const difference = (wanted: readonly string[], found: readonly string[]): string => [...wanted.filter((key) => !found.includes(key)).map((key) => `-${key}`), ...found.filter((key) => !wanted.includes(key)).map((key) => `+${key}`)].join(' ');

/** The far repository lacks a chain, and has one copy with a part that is damaged. */
export async function upkeepCase(dir: string): Promise<Prepared<UpkeepReport>> {
  const arena = await arenaWith(dir, { local: 'disk', far: 's3' });
  const first = must(await take(arena));
  must(await take(arena));
  must(await take(arena, 'incremental'));
  const far = arena.memory.get('far');
  if (far === undefined) throw new Error('no far repository');
  const whole = arena.keysOf('far');
  for (const key of whole) if (key !== 'repository.json' && !key.includes(first.id) && !key.includes('writer-epoch')) far.objects.delete(key);
  const part = whole.find((key) => key.includes(first.id) && key.includes('/parts/')) as string;
  far.objects.set(part, { body: Buffer.from('damaged'), modifiedAt: new Date().toISOString() });
  const damaged = (await arena.listed('far')).find(({ id }) => id === first.id);
  if (damaged === undefined) throw new Error('the damaged copy is not listed');
  await far.delete([keysOf(damaged).state('verified')]);
  await writeState(far, damaged, 'damaged', { at: new Date().toISOString() });
  arena.save();
  must(await arena.run(upkeep, {}, children));
  const end = arena.keysOf('far').join('\n');
  return {
    arena,
    steps: {
      operate: (broken) => arena.run(upkeep, {}, children, broken),
      honest: async ({ value }) => {
        if (value?.status !== 'done') return [];
        return (await arena.listed('far')).filter((ref) => ref.state.includes('damaged') || !ref.state.includes('verified')).map((ref) => `done, and ${ref.name} in far is ${ref.state.join(', ')}`);
      },
      converged: ({ value }) => [...(value?.status === 'done' ? [] : [`it is called ${String(value?.status)}: ${String(value?.warnings.join('; '))}`]), ...(arena.keysOf('far').join('\n') === end ? [] : [`far is not as one run leaves it: ${difference(end.split('\n'), arena.keysOf('far'))}`])],
    },
  };
}

export async function verifyCase(dir: string): Promise<Prepared<VerifyReport>> {
  const arena = await arenaWith(dir, { local: 'disk', far: 's3' });
  must(await take(arena));
  must(await take(arena, 'incremental'));
  arena.save();
  const end = [...arena.memory.keys()].map((name) => arena.keysOf(name).join('\n')).join('\n');
  return {
    arena,
    steps: {
      operate: (broken) => arena.run(verify, { deep: true }, children, broken),
      honest: () => [],
      converged: ({ value }) => [...(value?.status === 'verified' && value.copies.length === 4 ? [] : [`it is called ${String(value?.status)} (${String(value?.copies.length)} copies): ${JSON.stringify(value?.copies.filter(({ status }) => status !== 'verified'))}`]), ...([...arena.memory.keys()].map((name) => arena.keysOf(name).join('\n')).join('\n') === end ? [] : ['the repositories are not as before'])],
    },
  };
}

/** All of them, by what a person does. */
export const storageCases: readonly (readonly [name: string, prepare: (dir: string) => Promise<Prepared<never>>])[] = [
  ['a full backup into two repositories', (dir) => backupCase(dir, { local: 'disk', far: 's3' }) as never],
  ['a full backup without a disk, by the spool', (dir) => backupCase(dir, { far: 's3' }) as never],
  ['an incremental backup whose parent the second repository lacks', (dir) => backupCase(dir, { local: 'disk', far: 's3' }, 'incremental') as never],
  ['a restore beside', (dir) => restoreCase(dir, 'beside') as never],
  ['a restore in place', (dir) => restoreCase(dir, 'in-place') as never],
  ['a prune at once', (dir) => pruneCase(dir, false) as never],
  ['a prune with time of grace', (dir) => pruneCase(dir, true) as never],
  ['an upkeep that copies and heals', (dir) => upkeepCase(dir) as never],
  ['a deep verification', (dir) => verifyCase(dir) as never],
];
