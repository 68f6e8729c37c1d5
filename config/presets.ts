import type { BackupKind } from '../domain/backup.ts';
import type { Config, PolicyConfig } from './schema.ts';

type Step = { readonly kind: BackupKind; readonly schedule: string };

/** Sets of schedules by name; a logical backup is always full, so it has a set of its own. */
export const presets: Readonly<Record<'daily' | 'weekly' | 'hourly', { readonly physical: readonly Step[]; readonly logical: readonly Step[] }>> = {
  daily: {
    physical: [{ kind: 'full', schedule: '0 2 * * *' }, { kind: 'incremental', schedule: '0 */4 * * *' }],
    logical: [{ kind: 'full', schedule: '0 2 * * *' }],
  },
  weekly: {
    physical: [{ kind: 'full', schedule: '0 2 * * 0' }, { kind: 'differential', schedule: '0 2 * * 1-6' }, { kind: 'incremental', schedule: '30 * * * *' }],
    logical: [{ kind: 'full', schedule: '0 2 * * *' }],
  },
  hourly: {
    physical: [{ kind: 'full', schedule: '0 2 * * *' }, { kind: 'incremental', schedule: '30 * * * *' }],
    logical: [{ kind: 'full', schedule: '0 * * * *' }],
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
  return (['physical', 'logical'] as const).flatMap((engine) => {
    const targets = policy.targets.filter((name) => (config.targets[name]?.engine === 'logical') === (engine === 'logical'));
    return targets.length === 0 ? [] : presets[preset][engine].map((step) => ({ ...policy, ...step, targets }));
  });
}
