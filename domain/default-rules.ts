/** Which plan fits where no rule names one: service → restart, database → failover, network → DNS switch. Never a guess between several. */
import type { AlertType } from './alert.ts';

export interface KnownPlan {
  readonly name: string;
  readonly steps: readonly { readonly uses: string; readonly with?: Readonly<Record<string, unknown>> | undefined }[];
}

const families: Readonly<Partial<Record<AlertType, readonly string[]>>> = {
  service: ['service.restart', 'ecs.restart'],
  database: ['failover', 'postgres.failover', 'postgres.promote', 'rds.failover', 'rds.promote-replica', 'cluster.failover'],
  network: ['dns.switch'],
};

/** Inputs of actions that say what they are about. */
const subjects = ['name', 'service', 'cluster', 'instance', 'target', 'unit', 'container'];

export function fallbackPlan(plans: readonly KnownPlan[], about: { readonly type: AlertType; readonly service: string; readonly target: string | null }): { plan: string | null; why: string } {
  const family = families[about.type];
  if (family === undefined) return { plan: null, why: 'no rule names a plan' };
  const wanted = new Set([about.service, ...(about.target === null ? [] : [about.target])].map((word) => word.toLowerCase()));
  const fits = plans.filter((plan) =>
    plan.steps.some((step) => family.includes(step.uses) && subjects.some((key) => {
      const value = step.with === undefined || !Object.hasOwn(step.with, key) ? undefined : step.with[key];
      return typeof value === 'string' && wanted.has(value.toLowerCase().replace(/\.service$/, ''));
    })),
  );
  const [only] = fits;
  if (only === undefined) return { plan: null, why: `no rule names a plan, and none of the configuration does ${family.join(' or ')} for ${[...wanted].join(' or ')}` };
  if (fits.length > 1) return { plan: null, why: `no rule names a plan, and several would fit: ${fits.map((plan) => plan.name).join(', ')}` };
  return { plan: only.name, why: `default rule: ${about.type} → ${only.name}` };
}
