import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { ActionContext } from '../../../domain/action.ts';
import { isResurgoError, ResurgoError } from '../../../domain/errors.ts';
import { findManager } from '../../../providers/service/managers.ts';
import type { ServiceManager, ServiceState } from '../../../providers/service/manager.ts';
import { commandField, durationField, hostField, textField } from '../input.ts';

export const serviceSchema = z
  .strictObject({
    name: textField('Unit, process or container; for plain commands a name for people.').refine((value) => /^[^\s-][^\s]*$/.test(String(value)), 'is not a name of a service'),
    manager: z.enum(['auto', 'systemd', 'pm2', 'docker', 'command']).default('auto').meta({ description: '`auto` asks those installed on the host which of them knows it.' }),
    start: commandField('Plain commands: starts it.').optional(),
    stop: commandField('Plain commands: stops it.').optional(),
    restart: commandField('Plain commands: restarts it; default stop, then start.').optional(),
    status: commandField('Plain commands: ends with 0 while it runs; a process id it writes tells one start from the next.').optional(),
    within: durationField('How long one of these may take.').default(60_000),
    settle: durationField('It must still run so long after it was started.').default(1000),
    host: hostField,
  })
  .superRefine((value, ctx) => {
    if (value.manager !== 'command' && value.status === undefined && (value.start ?? value.stop) === undefined) return;
    for (const key of ['start', 'stop', 'status'] as const) if (value[key] === undefined) ctx.addIssue({ code: 'custom', path: [key], message: 'is missing; plain commands need start, stop and status' });
  });
export type ServiceInput = z.output<typeof serviceSchema>;

export interface CapturedService {
  readonly running: boolean;
  readonly identity?: string;
}
export interface ServiceOutput {
  readonly running: boolean;
  readonly was: string;
}

export async function managerOf({ input, signal }: Pick<ActionContext<ServiceInput>, 'input' | 'signal'>): Promise<ServiceManager> {
  const { name, manager, start, stop, status, restart, within } = input;
  return findManager({ name, manager, timeoutMs: within, commands: { start, stop, status, restart } }, signal);
}

/** @throws serviceFailed when the manager knows no such service */
export async function stateOf(manager: ServiceManager, { input, signal }: Pick<ActionContext<ServiceInput>, 'input' | 'signal'>): Promise<ServiceState> {
  const state = await manager.state(signal);
  if (state === undefined) throw new ResurgoError('serviceFailed', `${manager.kind} knows no service ${input.name}`);
  return state;
}

export async function checkService(context: ActionContext<ServiceInput>): Promise<readonly string[]> {
  const manager = await managerOf(context);
  const state = await stateOf(manager, context);
  return [`${manager.kind}: ${context.input.name} is ${state.words}`];
}

export async function captureService(context: ActionContext<ServiceInput>): Promise<CapturedService> {
  const { running, identity } = await stateOf(await managerOf(context), context);
  return { running, ...(identity === undefined ? {} : { identity }) };
}

/** Asks again until it is so, and for a running service: still is after it settled. @throws serviceFailed */
export async function awaitState(manager: ServiceManager, context: ActionContext<ServiceInput>, running: boolean): Promise<ServiceState> {
  const { input, signal } = context;
  const deadline = Date.now() + input.within;
  let state = await stateOf(manager, context);
  for (let since: number | undefined; ; ) {
    if (state.running !== running) since = undefined;
    else {
      since ??= Date.now();
      if (!running || Date.now() - since >= input.settle) return state;
    }
    if (Date.now() > deadline) throw new ResurgoError('serviceFailed', `${input.name} is ${state.words} ${String(input.within / 1000)} s after it should ${running ? 'run' : 'have stopped'}`);
    await sleep(Math.min(200, input.settle), undefined, { signal });
    state = await stateOf(manager, context);
  }
}

/** Brings the service into a state it may be in already. A manager's own failure is told in words. */
export async function bring(manager: ServiceManager, context: ActionContext<ServiceInput>, running: boolean): Promise<ServiceState> {
  const { input, signal } = context;
  try {
    if ((await stateOf(manager, context)).running !== running) await (running ? manager.start(signal) : manager.stop(signal));
  } catch (error) {
    if (!isResurgoError(error, 'toolFailed')) throw error;
    throw new ResurgoError('serviceFailed', `${input.name} could not be ${running ? 'started' : 'stopped'}: ${error.message}`, { cause: error });
  }
  return awaitState(manager, context, running);
}

/** As it was found: running or not. */
export async function asItWas(context: ActionContext<ServiceInput>, captured: CapturedService): Promise<string> {
  const manager = await managerOf(context);
  const before = await stateOf(manager, context);
  if (before.running === captured.running) return `${context.input.name} is ${captured.running ? 'running' : 'stopped'}, as it was`;
  await bring(manager, context, captured.running);
  return `${context.input.name} was ${captured.running ? 'started' : 'stopped'} again`;
}
