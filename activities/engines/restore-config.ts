import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BackupIndex, ConfigFacts } from '../../domain/backup.ts';
import type { RestorePlan } from '../../domain/operations.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { syncDirectory } from '../../providers/host/files.ts';
import type { ActivityDeps } from '../deps.ts';
import type { TargetSettings } from '../target-settings.ts';
import { filesRestoreEngine } from './restore-files.ts';
import type { RestoreEngine } from './restore-engine.ts';

/** Where a restore beside puts what is no file of the source. */
const bundle = 'resurgo-bundle';

const factsOf = (index: BackupIndex): ConfigFacts => {
  if (index.engine.engine !== 'config') throw new ResurgoError('bug', `backup ${index.backup} is ${index.engine.engine}, not a configuration bundle`);
  return index.engine;
};

/** Files as the files engine restores them; service definitions, database settings and Resurgo's own configuration beside them, to read and to apply by hand. */
export function configRestoreEngine(deps: ActivityDeps, settings: TargetSettings): RestoreEngine {
  const files = filesRestoreEngine(deps, settings, (index) => factsOf(index).tree);
  const building = (plan: RestorePlan): string => join(plan.destination, `.resurgo-build-${plan.id}-bundle`);
  const takesBundle = (plan: RestorePlan): boolean => plan.mode !== 'in-place' && plan.only.length === 0;
  return {
    ...files,
    async inspect(input, chain, open) {
      const facts = await files.inspect(input, chain, open);
      if (input.mode !== 'in-place') return facts;
      return { ...facts, warnings: [...facts.warnings, 'in place restores the files; service definitions, database settings and the configuration of Resurgo come with a restore beside (--to)'] };
    },
    async build(plan, chain, pulse) {
      const built = await files.build(plan, chain, pulse);
      if (!takesBundle(plan)) return built;
      const reader = chain.at(-1) as BackupReader;
      const { extras } = factsOf(reader.index);
      await rm(building(plan), { recursive: true, force: true });
      for (const { file, stream } of extras) {
        if (!/^[a-z]+\/[^/\0]+$/.test(file) || file.endsWith('/..') || file.endsWith('/.')) throw new ResurgoError('contentMismatch', `${JSON.stringify(file)} is no safe name in a bundle`);
        const path = join(building(plan), file);
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await writeFile(path, await reader.read(stream, undefined, pulse.signal), { mode: 0o600, flag: 'wx' });
      }
      return { ...built, files: built.files + extras.length, checks: [...built.checks, `${String(extras.length)} further pieces of configuration by their digests`] };
    },
    async settle(plan) {
      if (plan.mode === 'beside' && takesBundle(plan)) {
        await rename(building(plan), join(plan.destination, bundle)).catch((error: unknown) => {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        });
        await syncDirectory(plan.destination);
      }
      return files.settle(plan);
    },
    async discard(plan) {
      await rm(building(plan), { recursive: true, force: true });
      return files.discard(plan);
    },
  };
}
