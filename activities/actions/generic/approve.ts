import { z } from 'zod';
import { defineAction } from '../../../domain/action.ts';
import { durationField, inputOf, textField } from '../input.ts';

const schema = z.strictObject({
  from: z.array(z.string().min(1)).min(1, 'names nobody').meta({ kind: 'list of names', description: 'Who may: names of `approvers`.' }),
  count: z.number().int().min(1).max(100).default(1).meta({ kind: 'number', description: 'How many of them must.' }),
  within: durationField('Time limit.').default(3_600_000),
  onTimeout: z.enum(['fail', 'skip']).default('fail').meta({ description: 'When nobody decided in time.' }),
  question: textField('What they are asked.').optional(),
  escalate: z.array(z.strictObject({ after: durationField('so long'), notify: z.array(z.string()).min(1) })).optional().meta({ kind: 'list of `{ after, notify }`', description: 'Who else is told when nobody decides.' }),
});
type Input = z.output<typeof schema>;

/** A step that is nothing but an approval; the interpreter waits for the people before it is applied. */
export const approve = defineAction<Input, Record<string, never>, Record<string, never>>({
  name: 'approve',
  version: 1,
  description: 'Waits until enough of the named people have approved.',
  effect: 'none',
  ...inputOf(schema),
  outputs: [],
  subject: ({ from }) => from.join(', '),
  timer: () => 1,
  apply: async () => ({ summary: 'approved', output: {} }),
});
