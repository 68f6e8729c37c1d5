import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defineAction } from '../../../domain/action.ts';
import { durationField, inputOf } from '../input.ts';

const schema = z.strictObject({ for: durationField('How long.') });
type Input = z.output<typeof schema>;

/** A durable timer: costs no worker while it runs, and goes on over restarts. */
export const wait = defineAction<Input, Record<string, never>, Record<string, never>>({
  name: 'wait',
  version: 1,
  description: 'Waits for a time, by a durable timer.',
  effect: 'none',
  ...inputOf(schema),
  outputs: [],
  subject: (input) => `${String(input.for / 1000)} s`,
  timer: (input) => input.for,
  async apply({ input, signal }) {
    await sleep(input.for, undefined, { signal });
    return { summary: 'waited', output: {} };
  },
});
