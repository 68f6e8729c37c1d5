import { z } from 'zod';
import { engineNames } from '../../domain/backup.ts';

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 in hex');
/** Becomes a path segment. */
const segment = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'not a plain name');
const id = z.string().regex(/^[a-z0-9]{1,64}$/, 'not an id');

/** Shape of a signed `manifest.json`; unknown fields pass at every level. */
export const manifestSchema = z.looseObject({
  schemaVersion: z.literal(1),
  format: z.literal(1),
  id,
  target: segment,
  systemId: segment,
  name: segment,
  kind: z.enum(['full', 'differential', 'incremental']),
  engine: z.enum(engineNames),
  parent: id.nullable(),
  chain: z.array(id),
  attempt: segment,
  startedAt: z.string(),
  endedAt: z.string(),
  durationMs: z.number().nonnegative(),
  startedBy: z.string(),
  bytes: z.looseObject({ source: count, stored: count }),
  counts: z.looseObject({
    parts: count,
    files: count,
    tables: count.optional(),
    rows: count.optional(),
    databases: count.optional(),
    configFiles: count.optional(),
    members: count.optional(),
    problems: count.optional(),
  }),
  compression: z.enum(['zstd', 'none']),
  encryption: z.looseObject({ cipher: z.literal('aes-256-gcm'), recipients: z.array(z.string()) }),
  digests: z.looseObject({ sha256sums: sha256, index: sha256 }),
  versions: z.looseObject({ resurgo: z.string(), server: z.string(), tool: z.string().optional() }),
  wal: z.looseObject({ startLsn: z.string(), stopLsn: z.string(), timeline: count }).optional(),
  members: z.array(z.looseObject({ name: segment, engine: z.enum(engineNames) })).optional(),
  checks: z.array(z.string()),
  warnings: z.array(z.string()),
  signature: z.looseObject({ algorithm: z.literal('ed25519'), publicKey: z.string(), value: z.string() }),
});
