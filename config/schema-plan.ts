/** Plans as they are written. What their steps mean together is checked by activities/plan/compile.ts, which knows the actions. */
import { z } from 'zod';
import { planPhases, priorities } from '../domain/plan/model.ts';
import { secret } from './leaf-keys.ts';
import { duration, flag, integer, list, mapping, name, oneOf, text } from './leaf.ts';

/** `with:` as written: expressions and references in it are looked at when the step comes up. */
const anything = z
  .unknown()
  .refine((value) => value === undefined || (typeof value === 'object' && value !== null && !Array.isArray(value)), 'it must be a mapping of keys to values')
  .transform((value) => (value ?? {}) as Record<string, unknown>)
  .meta({ kind: 'mapping', description: "The action's input; see docs/reference/actions.md. Texts may hold `${{ … }}`." });

const expression = (description: string) => text(description);

const approval = mapping(
  {
    from: list(name('An approver.'), 'Who may: names of `approvers`.'),
    count: integer('How many of them must.', 1, 100).default(1),
    within: duration('Time limit.').default(3_600_000),
    onTimeout: oneOf(['fail', 'skip'], 'When nobody decided in time: the step fails, or is left out.').default('fail'),
    question: text('What they are asked.').optional(),
    escalate: list(
      mapping({ after: duration('So long without a decision.'), notify: list(text('Name of a channel.'), 'Who is told then.') }, 'Who else is told.'),
      'Who else is told when nobody decides.',
    ).optional(),
  },
  'Waits for people before it goes on.',
);

const use = (description: string) =>
  mapping(
    {
      uses: text('The action.'),
      with: anything.optional(),
      timeout: duration('How long it may take.').optional(),
      retries: integer('How often it is tried again.', 0, 1000).optional(),
    },
    description,
  );

const step = mapping(
  {
    id: name('Name of the step, unique in its plan.'),
    uses: text('The action, for example `service.restart`; or `plan`.'),
    with: anything.optional(),
    needs: z
      .array(name('Id of a step.'))
      .meta({ kind: 'list', description: 'Steps that end before this one starts; `[]`: none. Default: the step written before this one.' })
      .optional(),
    if: expression('An expression; the step is left out when it is false.').optional(),
    timeout: duration('How long it may take, with its tries.').optional(),
    retries: integer('How often it is tried again. Actions that must happen once are never tried again.', 0, 1000).optional(),
    verify: use('An action without effect that must succeed before the step counts as done; tried until its timeout.').optional(),
    compensate: z
      .union([z.literal(false), use('An action that undoes the step, in place of what its action would do by itself.')])
      .meta({ kind: '`false`, or an action', description: 'How the step is undone, in place of what its action does by itself; `false`: nothing has to be undone.' })
      .optional(),
    fallback: use('An action used when the step has failed.').optional(),
    critical: flag('`false`: when it fails, the plan goes on and ends with warnings.').default(true),
    approval: approval.optional(),
    pointOfNoReturn: flag('After this step the plan only rolls forward: nothing done before it is undone any more.').default(false),
    phase: oneOf(planPhases, 'Part of the recovery procedure it belongs to, for the report against the time budgets.').optional(),
    budget: duration('Time it should take; more is reported.').optional(),
  },
  'One step of a plan.',
);

const parameter = z
  .union([
    z.string(),
    z.number(),
    z.boolean(),
    mapping(
      {
        description: text('What it is.').optional(),
        default: z.union([z.string(), z.number(), z.boolean()]).meta({ kind: 'text, number, true or false', description: 'Used when none is given; without it one must be.' }).optional(),
        type: oneOf(['text', 'number', 'boolean'], 'What is accepted.').default('text'),
      },
      'A parameter of a plan.',
    ),
  ])
  .meta({ kind: 'default value, or a mapping', description: 'A parameter: its default, or `{ description, default, type }`.' });

export const plan = mapping(
  {
    description: text('What it is for.').optional(),
    priority: oneOf(priorities, 'Whose work goes first where several plans wait for the same host: critical (database, login), high (API, payments), medium (web), low (reporting).').default('medium'),
    params: z.record(z.string(), parameter).meta({ kind: 'mapping of name to parameter', description: 'Values given when it is started; `${{ params.NAME }}`.' }).optional(),
    onFailure: oneOf(['compensate', 'pause'], 'When a critical step fails: undo everything in reverse, or wait for a person first (retry, skip or abort).').default('compensate'),
    waitForPerson: duration('How long it waits for a person before it gives up.').default(86_400_000),
    budget: duration('Time the whole plan should take; more is reported.').optional(),
    approval: approval.optional(),
    steps: list(step, 'What is done, in order or by `needs`.'),
  },
  'A recovery plan; see docs/guides/plans.md.',
);

export const plans = z.record(z.string(), plan).meta({ kind: 'mapping of name to plan', description: 'Recovery plans, by name.' });

const approver = mapping(
  {
    token: secret("The approver's own token; on workers by reference, and nowhere else but with that person.", { check: (value) => (value.length < 16 ? 'is shorter than 16 characters' : undefined) }),
    contact: text('How to reach them; shown in the plan document.').optional(),
  },
  'A person who may approve.',
);

export const approvers = z.record(z.string(), approver).meta({ kind: 'mapping of name to approver', description: 'Who may approve steps of plans, by name.' });
export const actionFiles = list(text('Path of a TypeScript or JavaScript file.'), "Actions of one's own, one file each; see docs/guides/actions.md.");

export type PlanConfig = z.output<typeof plan>;
export type PlanStepConfig = z.output<typeof step>;
export type ApprovalConfig = z.output<typeof approval>;
export type ActionUseConfig = NonNullable<PlanStepConfig['verify']>;
