import type { BackupKind } from '../domain/backup.ts';
import { engineOf, engineTraits } from '../domain/engines.ts';
import type { Config, PolicyConfig } from './schema.ts';

type Step = { readonly kind: BackupKind; readonly schedule: string };

/** Sets of schedules by name; what is always taken whole (a logical backup) has a set of its own. */
export const presets: Readonly<Record<'daily' | 'weekly' | 'hourly', { readonly chains: readonly Step[]; readonly whole: readonly Step[] }>> = {
  daily: {
    chains: [{ kind: 'full', schedule: '0 2 * * *' }, { kind: 'incremental', schedule: '0 */4 * * *' }],
    whole: [{ kind: 'full', schedule: '0 2 * * *' }],
  },
  weekly: {
    chains: [{ kind: 'full', schedule: '0 2 * * 0' }, { kind: 'differential', schedule: '0 2 * * 1-6' }, { kind: 'incremental', schedule: '30 * * * *' }],
    whole: [{ kind: 'full', schedule: '0 2 * * *' }],
  },
  hourly: {
    chains: [{ kind: 'full', schedule: '0 2 * * *' }, { kind: 'incremental', schedule: '30 * * * *' }],
    whole: [{ kind: 'full', schedule: '0 * * * *' }],
  },
};

/** Policies with a preset become one policy per schedule of it. */
export function expandPresets(config: Config): Config {
  const { policies } = config;
  if (policies?.some(({ preset }) => preset !== undefined) !== true) return config;
  return { ...config, policies: policies.flatMap((policy) => expand(config, policy)) };
}

function expand(config: Config, { preset, ...policy }: PolicyConfig): PolicyConfig[] {
  if (preset === undefined) return [policy];
  const chains = (name: string): boolean => {
    const target = Object.hasOwn(config.targets, name) ? config.targets[name] : undefined;
    return target === undefined || engineTraits[engineOf(target)].kinds.length > 1;
  };
  return (['chains', 'whole'] as const).flatMap((set) => {
    const targets = policy.targets.filter((name) => chains(name) === (set === 'chains'));
    return targets.length === 0 ? [] : presets[preset][set].map((step) => ({ ...policy, ...step, targets }));
  });
}
