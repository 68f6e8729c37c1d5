import { z } from 'zod';
import { resolveSecret } from '../../../config/secret.ts';
import { defineAction } from '../../../domain/action.ts';
import { purge, redisFacts, type RedisPlace } from '../../../providers/redis/purge.ts';
import { hostField, inputOf, textField } from '../input.ts';

const schema = z
  .strictObject({
    url: textField('`redis://host:6379/0`, without a login.').refine((value) => URL.canParse(value) && /^rediss?:$/.test(new URL(value).protocol), 'is not a redis:// or rediss:// URL').refine((value) => !URL.canParse(value) || new URL(value).password === '', 'carries a password; give it by reference as `password`'),
    username: textField('User name.').optional(),
    password: z.union([z.strictObject({ env: z.string().min(1) }), z.strictObject({ file: z.string().min(1) })]).optional().meta({ kind: 'reference', description: '`{ env: NAME }` or `{ file: PATH }` on the worker.' }),
    prefixes: z.array(textField('Prefix.')).min(1).max(100).optional().meta({ description: 'Keys that begin with one of these go.' }),
    all: z.literal(true).optional().meta({ description: 'Every key of this database goes; only where the plan says so.' }),
    host: hostField,
  })
  .superRefine((value, ctx) => {
    if ((value.prefixes === undefined) === (value.all === undefined)) ctx.addIssue({ code: 'custom', path: ['prefixes'], message: 'either prefixes, or all: true' });
  });
type Input = z.output<typeof schema>;

const placeOf = ({ url, username, password }: Input): RedisPlace => ({ url, username, ...(password === undefined ? {} : { password: resolveSecret(password, 'password') }) });
const mebibytes = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`;

export const redisPurge = defineAction<Input, { readonly keys: number; readonly usedBytes: number }, { readonly removed: number; readonly usedBytesBefore: number; readonly usedBytesAfter: number }>({
  name: 'redis.purge',
  version: 1,
  description: 'Removes keys of a Redis database by prefix, or all of them, and records its memory before and after.',
  effect: 'converge',
  pointOfNoReturn: false,
  ...inputOf<Input>(schema),
  outputs: ['removed', 'usedBytesBefore', 'usedBytesAfter'],
  subject: ({ url, prefixes }) => `${new URL(url).host} ${prefixes === undefined ? 'everything' : prefixes.join(', ')}`,
  host: ({ host }) => host,
  async check({ input, signal }) {
    const { keys, usedBytes } = await redisFacts(placeOf(input), signal);
    return [`${new URL(input.url).host} has ${String(keys)} keys and uses ${mebibytes(usedBytes)}`];
  },
  capture: ({ input, signal }) => redisFacts(placeOf(input), signal),
  async apply({ input, signal, report }, captured) {
    const done = await purge(placeOf(input), input.prefixes === undefined ? { all: true } : { prefixes: input.prefixes }, signal, (removed) => { report({ phase: 'purge', note: `${String(removed)} keys` }); });
    return {
      summary: `${String(done.removed)} keys removed; memory ${mebibytes(captured.usedBytes)} → ${mebibytes(done.after.usedBytes)}`,
      output: { removed: done.removed, usedBytesBefore: captured.usedBytes, usedBytesAfter: done.after.usedBytes },
    };
  },
});
