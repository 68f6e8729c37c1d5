import { ApplicationFailure } from '@temporalio/activity';
import { defaultFailureConverter } from '@temporalio/common';
import { expect, test } from 'vitest';
import { toFailure } from '../../activities/failure-mapping.ts';
import { ResurgoError } from '../../domain/errors.ts';

test('O1 an error with a very long message or details keeps what matters, and fits into what Temporal keeps of it', () => {
  const long = Array.from({ length: 3000 }, (_, i) => `public.t_${String(i)}`).join(', ');
  const cause = new Error(`permission denied ${long}`);
  const failure = toFailure(
    new ResurgoError('dumpFailed', `pg_dump: ERROR: permission denied for table t_1, ${long}, the end`, { cause, details: { command: 'pg_dump', exitCode: 1, stderr: `first ${long} last`, problems: long.split(', ') } }),
  );
  expect(failure).toBeInstanceOf(ApplicationFailure);
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- checked above
  const { message, details } = failure as ApplicationFailure;
  expect(message).toMatch(/^pg_dump: ERROR: permission denied for table t_1.* … .*the end$/);
  expect(details?.[0]).toMatchObject({ kind: 'failed', exitCode: 1, stderr: expect.stringMatching(/^first .* last$/) as string });
  const converted = defaultFailureConverter.errorToFailure(failure, { toPayload: (value: unknown) => ({ data: Buffer.from(JSON.stringify(value)) }), fromPayload: () => undefined } as never);
  expect(JSON.stringify(converted).length).toBeLessThan(8000);
  expect((converted.message?.length ?? 0) + (converted.stackTrace?.length ?? 0)).toBeLessThan(3500);
});

test('O1 a short one is passed on as it is', () => {
  // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- that is what the boundary makes
  const failure = toFailure(new ResurgoError('sourceDenied', 'no', { cause: new Error('why'), details: { hint: 'grant', table: 'x' } })) as ApplicationFailure;
  expect(failure).toMatchObject({ message: 'no', type: 'sourceDenied', nonRetryable: true, details: [{ kind: 'precondition', hint: 'grant', table: 'x' }] });
  expect(failure.cause?.message).toBe('why');
});
