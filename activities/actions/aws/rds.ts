import { z } from 'zod';
import { defineAction, type ActionContext } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { waitUntil } from '../../../providers/aws/wait.ts';
import { withRds, type RdsClusterFacts, type RdsControl, type RdsInstanceFacts } from '../../../providers/rds/rds-control.ts';
import { durationField, hostField, inputOf, textField, urlField } from '../input.ts';

const place = {
  region: textField('AWS region.'),
  endpoint: urlField('An emulator or a private endpoint; default the one of AWS.').optional(),
  within: durationField('How long until it must be available.').default(900_000),
  poll: durationField('Between two questions.').default(5000),
  host: hostField,
};

interface Common {
  readonly region: string;
  readonly endpoint?: string | undefined;
  readonly within: number;
  readonly poll: number;
}

const on = <T>({ input }: Pick<ActionContext<Common>, 'input'>, work: (rds: RdsControl) => Promise<T>): Promise<T> => withRds({ region: input.region, endpoint: input.endpoint }, work);

/** @throws awsTimeout */
const until = <T>(context: ActionContext<Common>, what: string, ask: () => Promise<{ state: string; done?: T }>): Promise<T> =>
  waitUntil(ask, { what, deadlineMs: context.input.within, signal: context.signal, firstMs: context.input.poll, mostMs: context.input.poll * 4, onState: (note) => { context.report({ phase: `wait for ${what}`, note }); } });

const failoverSchema = z
  .strictObject({
    ...place,
    instance: textField('A Multi-AZ instance: its standby takes over.').optional(),
    cluster: textField('A cluster: another member becomes the writer.').optional(),
    to: textField('Clusters: the member that is to be the writer; default AWS chooses.').optional(),
  })
  .superRefine((value, ctx) => {
    if ((value.instance === undefined) === (value.cluster === undefined)) ctx.addIssue({ code: 'custom', path: ['instance'], message: 'either instance or cluster, one of them' });
    if (value.to !== undefined && value.cluster === undefined) ctx.addIssue({ code: 'custom', path: ['to'], message: 'is for clusters only' });
  });
type FailoverInput = z.output<typeof failoverSchema>;
type Facts = RdsInstanceFacts | RdsClusterFacts;

const factsOf = ({ input, signal }: ActionContext<FailoverInput>, rds: RdsControl): Promise<Facts> => (input.cluster === undefined ? rds.instance(input.instance ?? '', signal) : rds.cluster(input.cluster, signal));
const where = (facts: Facts): string => (facts.kind === 'cluster' ? `writer ${facts.writer ?? 'unknown'}` : `in ${facts.zone ?? 'an unknown zone'}`);
const moved = (before: Facts, now: Facts): boolean | undefined =>
  before.kind === 'cluster' && now.kind === 'cluster' ? now.writer !== before.writer && now.writer !== null : before.kind === 'instance' && now.kind === 'instance' && before.zone !== null && now.zone !== null ? now.zone !== before.zone : undefined;

/** Attempted once: a second failover would bring the broken side back. Whether it happened is seen by the writer, or by the zone of an instance. */
export const rdsFailover = defineAction<FailoverInput, Facts, { readonly was: string; readonly is: string }>({
  name: 'rds.failover',
  version: 1,
  description: 'Fails an RDS instance (reboot with failover) or cluster over, and waits until it is available on the other side.',
  effect: 'irreversible',
  defaultTimeoutMs: 1_200_000,
  ...inputOf<FailoverInput>(failoverSchema),
  outputs: ['was', 'is'],
  subject: ({ instance, cluster }) => instance ?? cluster ?? '',
  host: ({ host }) => host,
  check: (context) => on(context, async (rds) => {
    const facts = await factsOf(context, rds);
    const name = context.input.cluster ?? context.input.instance ?? '';
    if (facts.kind === 'instance' && !facts.multiAz) throw new ResurgoError('awsFailed', `RDS instance ${name} is not Multi-AZ: there is nothing to fail over to`, { details: { hint: 'Use rds.promote-replica, or make it Multi-AZ.' } });
    if (facts.kind === 'cluster' && facts.members.length < 2) throw new ResurgoError('awsFailed', `RDS cluster ${name} has ${String(facts.members.length)} member${facts.members.length === 1 ? '' : 's'}: there is nothing to fail over to`);
    if (facts.kind === 'cluster' && context.input.to !== undefined && !facts.members.includes(context.input.to)) throw new ResurgoError('awsFailed', `RDS cluster ${name} has no member ${context.input.to}; it has ${facts.members.join(', ')}`);
    return [`${name} is ${facts.status}, ${where(facts)}`];
  }),
  capture: (context) => on(context, (rds) => factsOf(context, rds)),
  apply: (context, before) => on(context, async (rds) => {
    const { cluster, instance = '', to } = context.input;
    if (cluster === undefined) await rds.rebootWithFailover(instance, context.signal);
    else await rds.failoverCluster(cluster, to, context.signal);
    const now = await factsOf(context, rds);
    return { summary: `failing over ${cluster ?? instance}, ${where(before)} before`, output: { was: where(before), is: where(now) } };
  }),
  probe: (context, before) => on(context, async (rds) => {
    const now = await factsOf(context, rds);
    const answer = moved(before, now);
    if (answer === true || now.status === 'rebooting' || now.status === 'failing-over') return 'applied';
    // A cluster's writer tells; an instance may be about to change its zone.
    return answer === false && now.kind === 'cluster' ? 'notApplied' : 'unknown';
  }),
  verify: (context, before) => on(context, (rds) =>
    until(context, context.input.cluster ?? context.input.instance ?? '', async () => {
      const now = await factsOf(context, rds);
      const isDone = now.status === 'available' && (now.kind === 'instance' || moved(before, now) === true) && (context.input.to === undefined || now.kind === 'instance' || now.writer === context.input.to);
      const stayed = moved(before, now) === false ? '; the zone is the same as before: look at the events of the instance' : '';
      return { state: `${now.status}, ${where(now)}`, ...(isDone ? { done: `available, ${where(now)} (before: ${where(before)})${stayed}` } : {}) };
    })),
});

const promoteSchema = z.strictObject({ ...place, instance: textField('The read replica.') });
type PromoteInput = z.output<typeof promoteSchema>;

/** For good: nothing makes it a replica again. */
export const rdsPromoteReplica = defineAction<PromoteInput, { readonly replicaOf: string | null }, { readonly address: string }>({
  name: 'rds.promote-replica',
  version: 1,
  description: 'Makes a read replica a database of its own that takes writes, and waits until it is available.',
  effect: 'irreversible',
  pointOfNoReturn: true,
  defaultTimeoutMs: 1_800_000,
  ...inputOf<PromoteInput>(promoteSchema),
  outputs: ['address'],
  subject: ({ instance }) => instance,
  host: ({ host }) => host,
  check: (context) => on(context, async (rds) => {
    const { replicaOf, status } = await rds.instance(context.input.instance, context.signal);
    if (replicaOf === null) throw new ResurgoError('awsFailed', `RDS instance ${context.input.instance} is no read replica (any more): there is nothing to promote`);
    return [`${context.input.instance} is ${status}, a replica of ${replicaOf}`];
  }),
  capture: (context) => on(context, async (rds) => ({ replicaOf: (await rds.instance(context.input.instance, context.signal)).replicaOf })),
  apply: (context) => on(context, async (rds) => {
    await rds.promote(context.input.instance, context.signal);
    return { summary: `promoting ${context.input.instance}`, output: { address: (await rds.instance(context.input.instance, context.signal)).address ?? '' } };
  }),
  probe: (context, { replicaOf }) => on(context, async (rds) => {
    const now = await rds.instance(context.input.instance, context.signal);
    if (now.replicaOf === null && replicaOf !== null) return 'applied';
    return now.status === 'available' ? 'notApplied' : 'unknown';
  }),
  verify: (context) => on(context, (rds) =>
    until(context, context.input.instance, async () => {
      const now = await rds.instance(context.input.instance, context.signal);
      return { state: `${now.status}${now.replicaOf === null ? '' : `, still a replica of ${now.replicaOf}`}`, ...(now.replicaOf === null && now.status === 'available' ? { done: `${context.input.instance} is a database of its own, available at ${now.address ?? 'an address that is not known yet'}` } : {}) };
    })),
});
