import { z } from 'zod';
import { defineAction, type Action } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import type { ActivityDeps } from '../../deps.ts';
import { clusterOf } from '../../cluster/members.ts';
import { inputOf, textField } from '../input.ts';

const schema = z.strictObject({
  target: textField('The cluster: a target with more than one member.'),
  to: textField('Member that is to be the primary; default the freshest.').optional(),
  overrideFence: textField('In writing: why a member that cannot be proved to be fenced is safe all the same.').optional(),
});
type Input = z.output<typeof schema>;

const picked = ['id', 'status', 'from', 'to', 'switchLsn', 'writableAfterMs'] as const;

/** Both are workflows of their own, which undo what they can themselves; after a promotion a plan only rolls forward. */
const make = (workflow: 'failover' | 'switchover', description: string) => (deps: ActivityDeps): Action =>
  defineAction<Input, Record<string, never>, never>({
    name: `postgres.${workflow}`,
    version: 1,
    description,
    effect: 'irreversible',
    pointOfNoReturn: true,
    ...inputOf(schema),
    outputs: [...picked],
    defaultTimeoutMs: 3_600_000,
    subject: ({ target }) => target,
    check: async ({ input }) => {
      const cluster = clusterOf(deps, input.target);
      if (input.to !== undefined) cluster.member(input.to);
      return [];
    },
    child: ({ target, to, overrideFence }, { runId, stepId }) => ({
      workflow,
      input: { target, startedBy: `plan run ${runId}, step ${stepId}`, ...(to === undefined ? {} : { to }), ...(overrideFence === undefined || workflow === 'switchover' ? {} : { overrideFence }) },
      pick: [...picked],
    }),
    apply: async () => {
      throw new ResurgoError('unsupported', `postgres.${workflow} is a workflow of its own and needs Temporal`, { details: { hint: '`resurgo rescue failover` needs none.' } });
    },
  });

export const postgresFailover = make('failover', 'Fails a cluster over: confirm, fence first, promote the freshest standby, prove that it takes writes, move DNS.');
export const postgresSwitchover = make('switchover', 'Changes the primary of a cluster on purpose, without loss.');
