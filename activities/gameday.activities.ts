/** What a game day asks of a worker beside what a drill does: the sandbox, the disaster, and restores in the sandbox. */
import { isAbsolute, relative } from 'node:path';
import { z } from 'zod';
import type { GroupedCheck } from '../domain/drill.ts';
import { ResurgoError } from '../domain/errors.ts';
import { disasterKinds, type Disaster, type GameDayInput, type Sandbox } from '../domain/gameday.ts';
import { namePattern } from '../domain/ids.ts';
import type { RestorePlan } from '../domain/operations.ts';
import type { Json, PlanSnapshot } from '../domain/plan/model.ts';
import { drillOf, gameDayOf, objectivesOf } from '../config/lookup.ts';
import type { RestorePlaces } from '../providers/postgres/restore-places.ts';
import { parseInput } from './announce.activities.ts';
import type { ActivityDeps } from './deps.ts';
import { runnable } from './gameday/actions.ts';
import { sandboxDeps } from './gameday/deps.ts';
import { assertDisaster, injectDisaster, type InjectedDisaster } from './gameday/disaster.ts';
import { assertSandbox, closeSandbox, openSandbox, type OpenSandboxInput } from './gameday/sandbox.ts';
import { planHashOf, snapshotOf } from './plan/snapshot.ts';
import { restoreActivities } from './restore.activities.ts';
import { targetSettings } from './target-settings.ts';

const gameDayInput = z.strictObject({
  schemaVersion: z.literal(1).optional(),
  plan: z.string().regex(namePattern, 'is not a name of a plan'),
  target: z.string().regex(namePattern, 'is not a target name').optional(),
  disaster: z.strictObject({ kind: z.enum(disasterKinds), table: z.string().min(1).max(200).optional(), where: z.string().min(1).max(4000).optional() }).optional(),
  mode: z.enum(['graceful', 'ungraceful']).optional(),
  params: z.record(z.string(), z.json() as z.ZodType<Json>).optional(),
  backup: z.string().min(1).max(64).optional(),
  startedBy: z.string().max(200).optional(),
});

export interface AnnouncedGameDay {
  readonly input: GameDayInput & { readonly target: string; readonly disaster: Disaster };
  readonly snapshot: PlanSnapshot;
  readonly configHash: string;
  readonly host: string;
  readonly timeoutMs: number;
  readonly objectives: { readonly rtoMs: number; readonly rpoMs: number };
  /** Added to the measured recovery time. */
  readonly detectMs: number;
  readonly services: readonly string[];
  readonly run: readonly string[];
  readonly searchAttributes: boolean;
}

/** In a game day nobody is there to decide: approvals are given, and a plan that waits for a person gives up soon. */
const personMs = 60_000;
const unattended = (snapshot: PlanSnapshot): PlanSnapshot => ({ ...snapshot, personMs: Math.min(snapshot.personMs, personMs), steps: snapshot.steps.map(({ approval: _, ...step }) => step) });

const restoreSteps = ['planRestore', 'buildRestore', 'verifyRestore', 'stopServices', 'startServices', 'healthCheck', 'swapIn', 'swapBack', 'settleRestore', 'discardRestore', 'recordRestore', 'finishInPlace'] as const;
export type SandboxRestoreStep = (typeof restoreSteps)[number];

export function gameDayActivities(deps: ActivityDeps) {
  return {
    /** Effect: none. @throws inputInvalid, planUnknown, planInvalid, targetUnknown, unsupported */
    async announceGameDay(input: GameDayInput): Promise<AnnouncedGameDay> {
      const given = parseInput(gameDayInput, input, 'gameday') as GameDayInput;
      const { config } = deps.loaded;
      const configured = gameDayOf(config, given.plan, given.target);
      const target = given.target ?? configured?.target;
      const disaster = given.disaster ?? (configured === undefined ? undefined : disasterOf(configured));
      if (target === undefined) throw new ResurgoError('inputInvalid', `on which target? There is no game day of plan ${given.plan} in the configuration`, { details: { hint: 'Give --target NAME, or write it down under gamedays.' } });
      if (disaster === undefined) throw new ResurgoError('inputInvalid', `which disaster? There is no game day of plan ${given.plan} on ${target} in the configuration`, { details: { hint: `Give --disaster ${disasterKinds.join('|')}, or write it down under gamedays.` } });
      assertDisaster(disaster);
      const settings = targetSettings(deps, target);
      if (settings.engine !== 'physical' && settings.engine !== 'logical') throw new ResurgoError('unsupported', `a game day needs a PostgreSQL target; ${target} is ${settings.engine}`);
      const params = given.params ?? configured?.params;
      const snapshot = unattended(await snapshotOf(deps, given.plan, { target, ...(params === undefined ? {} : { params }) }));
      const run = configured?.run ?? [];
      for (const id of run) {
        const step = snapshot.steps.find((each) => each.id === id);
        if (step === undefined) throw new ResurgoError('inputInvalid', `gamedays: run names ${id}, which is no step of plan ${given.plan}`);
        if (!(await runnable(deps, step.uses))) throw new ResurgoError('inputInvalid', `gamedays: run names ${id}, but ${step.uses} is never really run in a game day`, { details: { hint: 'Only exec, http.call, http.ok and actions of your own can be.' } });
      }
      const drill = drillOf(config, target);
      const objectives = objectivesOf(config, target);
      return {
        input: { ...given, target, disaster, ...(params === undefined ? {} : { params }) },
        snapshot, configHash: planHashOf(deps.loaded, given.plan) ?? '',
        host: drill?.host ?? settings.host ?? deps.host,
        timeoutMs: configured?.timeout ?? 6 * 3_600_000,
        objectives: { rtoMs: configured?.objectives?.rto ?? drill?.objectives?.rto ?? objectives.rto, rpoMs: configured?.objectives?.rpo ?? drill?.objectives?.rpo ?? objectives.rpo },
        detectMs: drill?.detect ?? 0,
        services: configured?.services ?? [], run, searchAttributes: deps.searchAttributes,
      };
    },

    openSandbox: (input: OpenSandboxInput): Promise<Sandbox> => openSandbox(deps, input),
    async injectDisaster(input: { readonly sandbox: Sandbox; readonly disaster: Disaster }): Promise<InjectedDisaster> {
      await assertSandbox(deps, input.sandbox);
      return injectDisaster(input);
    },
    async closeSandbox({ sandbox }: { readonly sandbox: Sandbox }): Promise<GroupedCheck> {
      await assertSandbox(deps, sandbox);
      return closeSandbox(sandbox);
    },

    /** One step of a restore (see restore.activities.ts), in the sandbox. @throws unsafePath when it would leave it */
    async sandboxRestoreStep({ sandbox, step, input }: { readonly sandbox: Sandbox; readonly step: SandboxRestoreStep; readonly input: unknown }): Promise<unknown> {
      if (!restoreSteps.includes(step)) throw new ResurgoError('inputInvalid', `${JSON.stringify(step)} is no step of a restore`);
      await assertSandbox(deps, sandbox);
      const made = await (restoreActivities(sandboxDeps(deps, sandbox))[step] as (input: unknown) => Promise<unknown>)(input);
      if (step === 'planRestore') assertInside(sandbox, made as RestorePlan);
      return made;
    },
  };
}

const disasterOf = ({ disaster: kind, table, where }: { readonly disaster: Disaster['kind']; readonly table?: string | undefined; readonly where?: string | undefined }): Disaster => ({ kind, ...(table === undefined ? {} : { table }), ...(where === undefined ? {} : { where }) });

/** Whatever a restore was told, it stays in the sandbox. */
function assertInside({ root, engine }: Sandbox, plan: RestorePlan): void {
  const inside = (path: string): boolean => isAbsolute(path) && !relative(root, path).startsWith('..') && relative(root, path) !== '';
  const places = plan.engineState as RestorePlaces | undefined;
  const paths = engine === 'physical' ? [plan.destination, ...(places === undefined ? [] : [places.work, places.staging, ...places.tablespaces.flatMap((each) => [each.location, each.build, each.staging])])] : [];
  const outside = paths.find((path) => !inside(path)) ?? (engine === 'logical' && /^\w+:\/\//.test(plan.destination) ? plan.destination : undefined);
  if (outside !== undefined) throw new ResurgoError('unsafePath', `a restore of the game day would work at ${outside}, outside its sandbox ${root}`);
}
