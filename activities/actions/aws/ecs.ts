import { z } from 'zod';
import { defineAction, type ActionContext } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { describeState, withEcsService, type EcsService, type EcsServiceState } from '../../../providers/ecs/ecs-service.ts';
import { durationField, hostField, inputOf, textField, urlField } from '../input.ts';

const place = {
  cluster: textField('Cluster, by name or ARN.'),
  service: textField('Service in it.'),
  region: textField('AWS region.'),
  endpoint: urlField('An emulator or a private endpoint; default the one of AWS.').optional(),
  within: durationField('How long until the service must be steady.').default(600_000),
  poll: durationField('Between two questions.').default(5000),
  host: hostField,
};

interface Common {
  readonly cluster: string;
  readonly service: string;
  readonly region: string;
  readonly endpoint?: string | undefined;
  readonly within: number;
  readonly poll: number;
  readonly host?: string | undefined;
}

/** As it was found. */
interface Captured {
  readonly desired: number;
  readonly taskDefinition: string;
  readonly deployment: string;
}

const on = <T>({ input }: Pick<ActionContext<Common>, 'input'>, work: (service: EcsService) => Promise<T>): Promise<T> =>
  withEcsService({ region: input.region, endpoint: input.endpoint, cluster: input.cluster, service: input.service }, work);
const steady = (context: ActionContext<Common>, service: EcsService, also?: (state: EcsServiceState) => boolean): Promise<EcsServiceState> =>
  service.steady({ deadlineMs: context.input.within, pollMs: context.input.poll, signal: context.signal, onState: (note) => { context.report({ phase: `wait for ${service.name}`, note }); }, ...(also === undefined ? {} : { also }) });

const shared = {
  version: 1,
  effect: 'converge',
  defaultTimeoutMs: 900_000,
  subject: ({ cluster, service }: Common) => `${cluster}/${service}`,
  host: ({ host }: Common) => host,
  check: (context: ActionContext<Common>) => on(context, async (service) => [`${service.name}: ${describeState(await service.state(context.signal))}`]),
  capture: (context: ActionContext<Common>): Promise<Captured> => on(context, async (service) => {
    const { desired, taskDefinition, deployment } = await service.state(context.signal);
    return { desired, taskDefinition, deployment };
  }),
} as const;

const restartSchema = z.strictObject(place);
type RestartInput = z.output<typeof restartSchema>;

/** Forces a new deployment, once: a second attempt sees by the deployment's id that the first one began it. */
export const ecsRestart = defineAction<RestartInput, Captured, { readonly running: number; readonly deployment: string }>({
  ...shared,
  ...inputOf<RestartInput>(restartSchema),
  name: 'ecs.restart',
  description: 'Replaces every task of an ECS service (force new deployment) and waits until it is steady.',
  outputs: ['running', 'deployment'],
  async apply(context, captured) {
    return on(context, async (service) => {
      const before = await service.state(context.signal);
      const after = before.deployment === captured.deployment ? await service.update({ forceNewDeployment: true }, context.signal) : before;
      return { summary: `a new deployment of ${service.name} began`, output: { running: after.running, deployment: after.deployment } };
    });
  },
  async verify(context) {
    return on(context, async (service) => `${service.name} is steady: ${describeState(await steady(context, service))}`);
  },
});

const scaleSchema = z.strictObject({ ...place, desiredCount: z.number().int().min(0).max(5000).meta({ kind: 'number', description: 'Tasks that are to run.' }) });
type ScaleInput = z.output<typeof scaleSchema>;

export const ecsScale = defineAction<ScaleInput, Captured, { readonly desired: number; readonly was: number }>({
  ...shared,
  ...inputOf<ScaleInput>(scaleSchema),
  name: 'ecs.scale',
  description: 'Sets how many tasks of an ECS service run, and waits until they do.',
  outputs: ['desired', 'was'],
  undo: 'the number of tasks as it was comes back',
  async apply(context, captured) {
    const { desiredCount } = context.input;
    return on(context, async (service) => {
      const now = await service.state(context.signal);
      if (now.desired !== desiredCount) await service.update({ desiredCount }, context.signal);
      return { summary: `${service.name}: ${String(captured.desired)} → ${String(desiredCount)} tasks`, output: { desired: desiredCount, was: captured.desired } };
    });
  },
  async verify(context) {
    return on(context, async (service) => `${service.name} is steady: ${describeState(await steady(context, service, (state) => state.desired === context.input.desiredCount))}`);
  },
  async compensate(context, captured) {
    const { desiredCount } = context.input;
    return on(context, async (service) => {
      const now = await service.state(context.signal);
      if (now.desired === captured.desired) return `${service.name} has ${String(captured.desired)} tasks, as it had`;
      if (now.desired !== desiredCount) throw new ResurgoError('undoConflict', `${service.name} is to have ${String(now.desired)} tasks: neither what it had (${String(captured.desired)}) nor what this run set (${String(desiredCount)}); it was left alone`);
      await service.update({ desiredCount: captured.desired }, context.signal);
      await steady(context, service);
      return `${service.name} has ${String(captured.desired)} tasks again`;
    });
  },
});

const rollbackSchema = z.strictObject({ ...place, taskDefinition: textField('Task definition to go back to, `family:revision` or ARN; default the newest active revision before the present one.').optional() });
type RollbackInput = z.output<typeof rollbackSchema>;
interface RollbackCaptured extends Captured {
  /** Decided once: a second attempt does not go back one further. */
  readonly to: string;
}

export const ecsRollback = defineAction<RollbackInput, RollbackCaptured, { readonly taskDefinition: string; readonly was: string }>({
  ...shared,
  ...inputOf<RollbackInput>(rollbackSchema),
  name: 'ecs.rollback',
  description: 'Takes an ECS service back to an earlier task definition, and waits until it is steady.',
  outputs: ['taskDefinition', 'was'],
  undo: 'the task definition as it was comes back',
  async check(context) {
    return on(context, async (service) => {
      const now = await service.state(context.signal);
      const to = context.input.taskDefinition ?? (await service.previousTaskDefinition(now.taskDefinition, context.signal));
      return [`${service.name}: ${short(now.taskDefinition)} → ${short(to)}; ${describeState(now)}`];
    });
  },
  async capture(context) {
    return on(context, async (service) => {
      const { desired, taskDefinition, deployment } = await service.state(context.signal);
      return { desired, taskDefinition, deployment, to: context.input.taskDefinition ?? (await service.previousTaskDefinition(taskDefinition, context.signal)) };
    });
  },
  async apply(context, captured) {
    return on(context, async (service) => {
      const now = await service.state(context.signal);
      if (short(now.taskDefinition) !== short(captured.to)) await service.update({ taskDefinition: captured.to }, context.signal);
      return { summary: `${service.name}: ${short(captured.taskDefinition)} → ${short(captured.to)}`, output: { taskDefinition: captured.to, was: captured.taskDefinition } };
    });
  },
  async verify(context, captured) {
    return on(context, async (service) => {
      const state = await steady(context, service, (now) => short(now.taskDefinition) === short(captured.to));
      return `${service.name} runs ${short(state.taskDefinition)}: ${describeState(state)}`;
    });
  },
  async compensate(context, captured) {
    return on(context, async (service) => {
      const now = await service.state(context.signal);
      if (short(now.taskDefinition) === short(captured.taskDefinition)) return `${service.name} runs ${short(captured.taskDefinition)}, as it did`;
      if (short(now.taskDefinition) !== short(captured.to)) throw new ResurgoError('undoConflict', `${service.name} runs ${short(now.taskDefinition)}: neither what it ran (${short(captured.taskDefinition)}) nor what this run set (${short(captured.to)}); it was left alone`);
      await service.update({ taskDefinition: captured.taskDefinition }, context.signal);
      await steady(context, service);
      return `${service.name} runs ${short(captured.taskDefinition)} again`;
    });
  },
});

/** `family:revision` of an ARN. */
const short = (taskDefinition: string): string => taskDefinition.slice(taskDefinition.lastIndexOf('/') + 1);
