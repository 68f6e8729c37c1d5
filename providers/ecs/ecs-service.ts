/** One ECS service: what a recovery needs to see and to change. Not verified against the real service, only against its emulator. */
import type { ECSClient, Service } from '@aws-sdk/client-ecs';
import { ResurgoError } from '../../domain/errors.ts';
import { abortable, clientOptions, mapAwsError, type AwsPlace } from '../aws/client-options.ts';
import { waitUntil } from '../aws/wait.ts';

export interface EcsServiceState {
  readonly status: string;
  readonly desired: number;
  readonly running: number;
  readonly pending: number;
  /** ARN of the task definition the service is to run. */
  readonly taskDefinition: string;
  /** Id of the newest deployment: changes with every update that starts tasks anew. */
  readonly deployment: string;
  /** Deployments that are not done yet, the newest apart. */
  readonly draining: number;
  readonly rollout: 'COMPLETED' | 'IN_PROGRESS' | 'FAILED' | null;
  readonly reason: string;
}

export interface EcsPlace extends AwsPlace {
  readonly cluster: string;
  readonly service: string;
}

type Sdk = typeof import('@aws-sdk/client-ecs');

export class EcsService {
  readonly place: EcsPlace;
  private readonly sdk: Sdk;
  private readonly client: ECSClient;

  constructor(place: EcsPlace, sdk: Sdk) {
    this.place = place;
    this.sdk = sdk;
    this.client = new sdk.ECSClient(clientOptions(place));
  }

  get name(): string {
    return `${this.place.cluster}/${this.place.service}`;
  }

  /** @throws awsFailed when there is no such service, awsDenied, awsThrottled, awsUnavailable */
  async state(signal?: AbortSignal): Promise<EcsServiceState> {
    const { cluster, service } = this.place;
    const answer = await this.call(`asking for ECS service ${this.name}`, () => this.client.send(new this.sdk.DescribeServicesCommand({ cluster, services: [service] }), abortable(signal)));
    const [found] = answer.services ?? [];
    if (found === undefined || found.status === 'INACTIVE') throw new ResurgoError('awsFailed', `there is no ECS service ${service} in cluster ${cluster} (${this.place.region})${found === undefined ? '' : ': it was deleted'}`, { details: { hint: 'Compare cluster, service and region with the console.' } });
    return stateOf(found);
  }

  /** A change of the service. @returns its state right after */
  async update(change: { readonly desiredCount?: number; readonly taskDefinition?: string; readonly forceNewDeployment?: boolean }, signal?: AbortSignal): Promise<EcsServiceState> {
    const { cluster, service } = this.place;
    const answer = await this.call(`updating ECS service ${this.name}`, () => this.client.send(new this.sdk.UpdateServiceCommand({ cluster, service, ...change }), abortable(signal)));
    return answer.service === undefined ? this.state(signal) : stateOf(answer.service);
  }

  /** The newest active revision of the same family before the given one. @throws awsFailed when there is none */
  async previousTaskDefinition(current: string, signal?: AbortSignal): Promise<string> {
    const { family, revision } = parseTaskDefinition(current);
    let next: string | undefined;
    let best: { arn: string; revision: number } | undefined;
    do {
      const page = await this.call(`listing the revisions of ${family}`, () => this.client.send(new this.sdk.ListTaskDefinitionsCommand({ familyPrefix: family, status: 'ACTIVE', sort: 'DESC', ...(next === undefined ? {} : { nextToken: next }) }), abortable(signal)));
      for (const arn of page.taskDefinitionArns ?? []) {
        const parsed = parseTaskDefinition(arn);
        if (parsed.family === family && parsed.revision < revision && parsed.revision > (best?.revision ?? 0)) best = { arn, revision: parsed.revision };
      }
      next = page.nextToken;
    } while (next !== undefined && best === undefined);
    if (best !== undefined) return best.arn;
    throw new ResurgoError('awsFailed', `task definition ${family} has no active revision before ${String(revision)}`, { details: { hint: 'Name one with `taskDefinition`.' } });
  }

  /**
   * Until all wanted tasks run, of the newest deployment alone.
   * @throws awsFailed when the deployment failed or its circuit breaker stopped it, awsTimeout
   */
  steady(options: { readonly deadlineMs: number; readonly pollMs: number; readonly signal: AbortSignal; readonly onState?: (text: string) => void; readonly also?: (state: EcsServiceState) => boolean }): Promise<EcsServiceState> {
    return waitUntil(async () => {
      const now = await this.state(options.signal);
      if (now.rollout === 'FAILED') throw new ResurgoError('awsFailed', `the deployment of ECS service ${this.name} failed: ${now.reason}`);
      const isSteady = now.running === now.desired && now.pending === 0 && now.draining === 0 && now.rollout !== 'IN_PROGRESS' && (options.also?.(now) ?? true);
      return { state: describeState(now), ...(isSteady ? { done: now } : {}) };
    }, { what: `ECS service ${this.name}`, deadlineMs: options.deadlineMs, signal: options.signal, firstMs: options.pollMs, mostMs: options.pollMs * 4, ...(options.onState === undefined ? {} : { onState: options.onState }) });
  }

  close(): void {
    this.client.destroy();
  }

  private async call<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw mapAwsError(error, what);
    }
  }
}

export async function withEcsService<T>(place: EcsPlace, work: (service: EcsService) => Promise<T>): Promise<T> {
  const service = new EcsService(place, await import('@aws-sdk/client-ecs'));
  try {
    return await work(service);
  } finally {
    service.close();
  }
}

export const describeState = ({ running, desired, pending, draining, rollout }: EcsServiceState): string =>
  `${String(running)} of ${String(desired)} tasks running${pending > 0 ? `, ${String(pending)} pending` : ''}${draining > 0 ? `, ${String(draining)} older deployment${draining === 1 ? '' : 's'} draining` : ''}${rollout === null ? '' : `, rollout ${rollout.toLowerCase().replace('_', ' ')}`}`;

function stateOf(service: Service): EcsServiceState {
  const deployments = service.deployments ?? [];
  const primary = deployments.find(({ status }) => status === 'PRIMARY');
  return {
    status: service.status ?? 'unknown', desired: service.desiredCount ?? 0, running: service.runningCount ?? 0, pending: service.pendingCount ?? 0,
    taskDefinition: service.taskDefinition ?? '', deployment: primary?.id ?? '', draining: deployments.filter((one) => one !== primary && one.status !== 'INACTIVE').length,
    rollout: primary?.rolloutState ?? null, reason: primary?.rolloutStateReason ?? '',
  };
}

/** `arn:aws:ecs:…:task-definition/api:12` or `api:12`. */
export function parseTaskDefinition(arn: string): { family: string; revision: number } {
  const [, family, revision] = /(?:^|\/)([^/:]+):(\d+)$/.exec(arn) ?? [];
  if (family === undefined || revision === undefined) throw new ResurgoError('awsFailed', `${JSON.stringify(arn)} is not a task definition with a revision`);
  return { family, revision: Number(revision) };
}
