import { z } from 'zod';
import type { DrillInput, SourceMoment } from '../domain/drill.ts';
import { namePattern } from '../domain/ids.ts';
import { drillOf, objectivesOf } from '../config/lookup.ts';
import { listBackups, writeState } from '../providers/repository/catalogue.ts';
import { parseInput } from './announce.activities.ts';
import type { ActivityDeps } from './deps.ts';
import { buildDrill, type BuiltDrill } from './drill/build.ts';
import { checkDrill, type CheckedDrill } from './drill/check.ts';
import { readDrillMark } from './drill/places.ts';
import { assertSandboxable } from './gameday/sandbox.ts';
import { assertDrillable, type DrillPlan, planDrill } from './drill/plan.ts';
import { reapDrills, removeDrill, type Reaped } from './drill/remove.ts';
import { observeSource } from './drill/source.ts';
import { targetSettings } from './target-settings.ts';

const drillInput = z.strictObject({
  schemaVersion: z.literal(1).optional(),
  target: z.string().regex(namePattern, 'is not a target name'),
  backup: z.string().min(1).max(64).optional(),
  time: z.string().min(1).max(64).optional(),
  startedBy: z.string().max(200).optional(),
});

export function drillActivities(deps: ActivityDeps) {
  return {
    /** Effect: none. @throws inputInvalid, targetUnknown, unsupported */
    async announceDrill(input: DrillInput): Promise<{ input: DrillInput; host: string; timeoutMs: number; engine: string; objectives: { rtoMs: number; rpoMs: number }; searchAttributes: boolean }> {
      const checked = parseInput(drillInput, input, 'drill') as DrillInput;
      const settings = targetSettings(deps, checked.target);
      assertDrillable(settings);
      const drill = drillOf(deps.loaded.config, checked.target);
      const objectives = objectivesOf(deps.loaded.config, checked.target);
      return { input: checked, objectives: { rtoMs: drill?.objectives?.rto ?? objectives.rto, rpoMs: drill?.objectives?.rpo ?? objectives.rpo }, host: drill?.host ?? settings.host ?? deps.host, timeoutMs: drill?.timeout ?? 12 * 3_600_000, engine: settings.engine, searchAttributes: deps.searchAttributes };
    },

    observeSource: ({ target }: { readonly target: string }): Promise<SourceMoment> => observeSource(deps, target),
    async planDrill({ sandbox, ...input }: DrillInput & { readonly id: string; readonly startedAt: string; readonly sandbox?: boolean }): Promise<DrillPlan> {
      const plan = await planDrill(deps, input);
      // What no sandbox can be made of is said before it is fetched and built.
      if (sandbox === true) assertSandboxable(plan);
      return plan;
    },
    buildDrill: (plan: DrillPlan): Promise<BuiltDrill> => buildDrill(deps, plan),
    checkDrill: (plan: DrillPlan): Promise<CheckedDrill> => checkDrill(deps, plan),

    /** Effect: everything of the drill is gone from this host. Idempotency: gone already is success. @throws unsafePath */
    async removeDrill({ id }: { readonly id: string; readonly target: string }): Promise<string> {
      const mark = await readDrillMark(deps.loaded.stateDir, id);
      return mark === undefined ? 'nothing was there' : removeDrill(deps, mark);
    },

    /** What dead drills left on this host. Effect: it is gone. */
    reapDrills: (): Promise<Reaped> => reapDrills(deps),

    /** Notes that the backup was restored and stood its checks. Effect: the fact `proven` beside the copy that was read. */
    async proveBackup({ plan, facts }: { readonly plan: DrillPlan; readonly facts: Readonly<Record<string, unknown>> }): Promise<void> {
      const { restore } = plan;
      const link = restore.chain.at(-1);
      const [repository] = restore.repositories;
      if (link === undefined || repository === undefined) return;
      const store = await deps.stores.open(repository);
      const ref = (await listBackups(store, restore.target)).find((each) => each.name === link.name && each.systemId === link.systemId);
      // A fact beside nothing would look like a backup that lost its manifest.
      if (ref?.published === true) await writeState(store, ref, 'proven', { at: new Date().toISOString(), drill: plan.id, ...facts });
    },
  };
}
