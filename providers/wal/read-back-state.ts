/**
 * What is remembered of reading back the WAL archive in one repository: `wal/read-back.json` beside the lineages. A note and no proof: it is not signed, and
 * whoever can write it could as well remove the WAL. It makes damaged objects count as missing, so that no restore is planned over them.
 */
import { z } from 'zod';
import { hexLsn } from '../../domain/lsn.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import type { TimelineReadBack } from '../../domain/wal-scrub.ts';
import { timelineName, walPrefix } from './layout.ts';
import { getOr } from '../repository/backup-files.ts';

const hex = z.string().regex(/^[0-9A-F]{16}$/);
const schema = z.object({
  format: z.literal(1),
  /** `<lineage>/<timeline>` */
  timelines: z.record(z.string(), z.object({
    read: z.array(z.tuple([hex, hex, z.number()])),
    damaged: z.array(z.object({ name: z.string(), at: z.number(), code: z.string(), message: z.string() })),
  })),
});

export type ReadBackState = ReadonlyMap<string, TimelineReadBack>;

export const readBackFile = 'read-back.json';
const readBackKey = (target: string, systemId: string): string => `${walPrefix(target, systemId)}${readBackFile}`;
export const readBackName = (lineage: string, timeline: number): string => `${lineage}/${timelineName(timeline)}`;

/** Empty where there is none, or none that can be understood: then everything counts as never read. @throws repositoryUnreachable */
export async function readReadBack(store: ObjectStore, target: string, systemId: string, signal?: AbortSignal): Promise<ReadBackState> {
  const bytes = await getOr(store, readBackKey(target, systemId), signal);
  if (bytes === undefined) return new Map();
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return new Map();
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) return new Map();
  return new Map(Object.entries(parsed.data.timelines).map(([name, { read, damaged }]) => [name, { read: read.map(([start, end, at]) => ({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), at })), damaged }]));
}

export async function writeReadBack(store: ObjectStore, target: string, systemId: string, state: ReadBackState, signal?: AbortSignal): Promise<void> {
  const timelines = Object.fromEntries([...state].filter(([, { read, damaged }]) => read.length + damaged.length > 0).map(([name, { read, damaged }]) => [name, { read: read.map(({ start, end, at }) => [hexLsn(start), hexLsn(end), at]), damaged }]));
  await store.put(readBackKey(target, systemId), Buffer.from(`${JSON.stringify({ format: 1, timelines })}\n`), signal && { signal });
}
