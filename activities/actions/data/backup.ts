import { z } from 'zod';
import { defineAction, type Action } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { targetOf } from '../../../config/lookup.ts';
import type { ActivityDeps } from '../../deps.ts';
import { planRestore } from '../../restore-plan.ts';
import { inputOf, textField } from '../input.ts';

const noTemporal = (name: string): never => {
  throw new ResurgoError('unsupported', `${name} is a workflow of its own and needs Temporal`, { details: { hint: 'In a rescue leave the step out: --skip STEP; `resurgo rescue restore` restores without Temporal.' } });
};

const backupSchema = z.strictObject({
  target: textField('What is backed up.'),
  kind: z.enum(['full', 'differential', 'incremental']).default('full').meta({ description: 'Kind of backup.' }),
});

/** A backup nothing has to be undone about: it stays. */
export const backup = (deps: ActivityDeps): Action =>
  defineAction<z.output<typeof backupSchema>, Record<string, never>, never>({
    name: 'backup',
    version: 1,
    description: 'Takes a verified backup of a target; a workflow of its own. It is kept when the plan is rolled back.',
    effect: 'none',
    ...inputOf(backupSchema),
    outputs: ['id', 'status', 'kind', 'complete'],
    defaultTimeoutMs: 24 * 3_600_000,
    subject: ({ target }) => target,
    check: async ({ input }) => {
      targetOf(deps.loaded.config, input.target);
      return [];
    },
    child: ({ target, kind }, { runId, stepId }) => ({ workflow: 'backup', input: { target, kind, startedBy: `plan run ${runId}, step ${stepId}` }, pick: ['id', 'status', 'kind', 'complete'] }),
    apply: async () => noTemporal('backup'),
  });

const restoreSchema = z.strictObject({
  target: textField('What is restored.'),
  backup: textField('Backup id, `latest`, or a date.').optional(),
  time: textField('Point in time, or `latest`: the end of the archived WAL.').optional(),
  mode: z.enum(['in-place', 'beside', 'scratch']).default('in-place').meta({ description: 'Where to; see docs/guides/restore.md.' }),
  to: textField('Destination of `beside`.').optional(),
  only: z.array(textField('a part')).min(1).optional().meta({ kind: 'list of text', description: 'Only these parts.' }),
  noDowntime: z.boolean().optional().meta({ kind: '`true`, `false`', description: 'Refuse rather than stop services.' }),
});

export const restore = (deps: ActivityDeps): Action =>
  defineAction<z.output<typeof restoreSchema>, Record<string, never>, never>({
    name: 'restore',
    version: 1,
    description: 'Restores a target; a workflow of its own, which undoes itself when it fails. The data that was there is kept until `restore.confirm`.',
    effect: 'converge',
    ...inputOf(restoreSchema),
    outputs: ['id', 'status', 'backup', 'mode', 'destination', 'kept', 'restoredRecords', 'recoveredTo'],
    defaultTimeoutMs: 24 * 3_600_000,
    undo: 'in place: the data as it was comes back by rename (`restore rollback`); the bad copy is kept',
    subject: ({ target, mode }) => `${target} (${mode})`,
    abilities: ({ mode }) => ({ effect: mode === 'scratch' ? 'none' : 'converge' }),
    check: async ({ input, dryRun, runId }) => {
      targetOf(deps.loaded.config, input.target);
      // In a run the restore itself looks, when it is its turn: what a preview finds missing now may be there by then.
      if (!dryRun) return [];
      const plan = await planRestore(deps, { target: input.target, mode: input.mode, ...(input.backup === undefined ? {} : { backup: input.backup }), ...(input.to === undefined ? {} : { to: input.to }), ...(input.time === undefined ? {} : { time: input.time }), id: runId, startedAt: new Date().toISOString(), preview: true });
      return [`backup ${plan.backup} of ${plan.recoversTo.time}, a chain of ${String(plan.chain.length)}`, ...plan.warnings];
    },
    child: ({ target, mode, ...rest }, { runId, stepId }) => ({
      workflow: 'restore',
      input: { target, mode, ...rest, startedBy: `plan run ${runId}, step ${stepId}` },
      pick: ['id', 'status', 'backup', 'mode', 'destination', 'kept', 'restoredRecords', 'recoveredTo'],
      ...(mode === 'in-place' ? { compensate: { workflow: 'finishRestore', input: { target, id: { $output: 'id' }, action: 'rollback' } } } : {}),
    }),
    apply: async () => noTemporal('restore'),
  });

const confirmSchema = z.strictObject({ target: textField('What was restored.'), id: textField('Id of the restore: `${{ steps.restore.output.id }}`.') });

/** The kept copy is gone for good: the plan only rolls forward after it. */
export const restoreConfirm = defineAction<z.output<typeof confirmSchema>, Record<string, never>, never>({
  name: 'restore.confirm',
  version: 1,
  description: 'Drops the copy an in-place restore kept.',
  effect: 'irreversible',
  pointOfNoReturn: true,
  ...inputOf(confirmSchema),
  outputs: ['id', 'status', 'detail'],
  subject: ({ target, id }) => `${target} (${id})`,
  child: ({ target, id }) => ({ workflow: 'finishRestore', input: { target, id, action: 'confirm' }, pick: ['id', 'status', 'detail'] }),
  apply: async () => noTemporal('restore.confirm'),
});
