import { defineAction } from '../../../domain/action.ts';
import { isResurgoError, ResurgoError } from '../../../domain/errors.ts';
import { inputOf } from '../input.ts';
import { asItWas, awaitState, bring, captureService, checkService, managerOf, serviceSchema, stateOf, type CapturedService, type ServiceInput, type ServiceOutput } from './common.ts';

const common = {
  version: 1,
  effect: 'converge',
  ...inputOf<ServiceInput>(serviceSchema),
  outputs: ['running', 'was'],
  undo: 'the service runs, or does not, as it was found',
  subject: ({ name }: ServiceInput) => name,
  host: ({ host }: ServiceInput) => host,
  check: checkService,
  capture: captureService,
  compensate: asItWas,
} as const;

const was = ({ running }: CapturedService): string => (running ? 'running' : 'stopped');

/** Stopped already is success. */
export const serviceStop = defineAction<ServiceInput, CapturedService, ServiceOutput>({
  ...common,
  name: 'service.stop',
  description: 'Stops a service of systemd, PM2, Docker or plain commands.',
  async apply(context, captured) {
    await bring(await managerOf(context), context, false);
    return { summary: `${context.input.name} is stopped`, output: { running: false, was: was(captured) } };
  },
  async verify(context) {
    const { words } = await awaitState(await managerOf(context), context, false);
    return `${context.input.name} is ${words}`;
  },
});

/** Running already is success. */
export const serviceStart = defineAction<ServiceInput, CapturedService, ServiceOutput>({
  ...common,
  name: 'service.start',
  description: 'Starts a service of systemd, PM2, Docker or plain commands, and sees that it stays up.',
  async apply(context, captured) {
    await bring(await managerOf(context), context, true);
    return { summary: `${context.input.name} runs`, output: { running: true, was: was(captured) } };
  },
  async verify(context) {
    const { words } = await awaitState(await managerOf(context), context, true);
    return `${context.input.name} is ${words}`;
  },
});

/** Restarted once: a second attempt sees by the process that the first one did it. One that was stopped is started. */
export const serviceRestart = defineAction<ServiceInput, CapturedService, ServiceOutput>({
  ...common,
  name: 'service.restart',
  description: 'Restarts a service of systemd, PM2, Docker or plain commands, and sees that a new one runs and stays up.',
  async apply(context, captured) {
    const manager = await managerOf(context);
    const state = await stateOf(manager, context);
    const done = state.running && captured.identity !== undefined && state.identity !== undefined && state.identity !== captured.identity;
    try {
      if (!done && state.running && manager.restart !== undefined) await manager.restart(context.signal);
      else if (!done) {
        if (state.running) await manager.stop(context.signal);
        await manager.start(context.signal);
      }
    } catch (error) {
      if (!isResurgoError(error, 'toolFailed')) throw error;
      throw new ResurgoError('serviceFailed', `${context.input.name} could not be restarted: ${error.message}`, { cause: error });
    }
    await awaitState(manager, context, true);
    return { summary: `${context.input.name} was restarted`, output: { running: true, was: was(captured) } };
  },
  async verify(context, captured) {
    const state = await awaitState(await managerOf(context), context, true);
    if (captured.running && captured.identity !== undefined && state.identity === captured.identity) throw new ResurgoError('serviceFailed', `${context.input.name} is still the same process (${captured.identity})`);
    return `${context.input.name} is ${state.words}`;
  },
});
