import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { BackupReader } from '../../domain/ports.ts';
import { ensureSpace } from '../host/space.ts';
import type { RestorePlaces } from './restore-places.ts';
import { withinDataDirectory } from './restore-places.ts';

const streamBytes = (reader: BackupReader, stream: string): number =>
  reader.index.streams.find(({ name }) => name === stream)?.bytes ?? 0;

/**
 * Bytes a restore writes for one stream: a single full is extracted once; of a chain every link is staged, and what incrementals touch is
 * written again when they are combined (at most the full, or all of it where files cannot be hard-linked).
 */
export function bytesNeeded(chain: readonly BackupReader[], stream: string, canLink: boolean): number {
  const staged = chain.reduce((sum, reader) => sum + streamBytes(reader, stream), 0);
  if (chain.length === 1) return staged;
  const last = chain.at(-1);
  const touched = new Set(
    last?.index.streams
      .find(({ name }) => name === stream)
      ?.files?.flatMap(({ path }) => (path.includes('INCREMENTAL.') ? [path.replace('INCREMENTAL.', '')] : [])),
  );
  const full = chain[0]?.index.streams.find(({ name }) => name === stream)?.files ?? [];
  const combined = canLink
    ? full.reduce((sum, file) => sum + (touched.has(file.path) ? file.size : 0), 0)
    : streamBytes(chain[0] as BackupReader, stream);
  return staged + combined + streamBytes(last as BackupReader, stream);
}

const device = async (path: string): Promise<number> => {
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found) return found.dev;
    if (at === dirname(at)) return 0;
  }
};

/** Total over all file systems. @throws destinationSpace */
export async function assertRestoreSpace(
  chain: readonly BackupReader[],
  places: RestorePlaces,
  canLink: boolean,
): Promise<number> {
  const needs = new Map<number, { path: string; bytes: number }>();
  const add = async (path: string, stream: string): Promise<void> => {
    const key = await device(path);
    const bytes = bytesNeeded(chain, stream, canLink);
    const known = needs.get(key);
    needs.set(key, { path: known?.path ?? path, bytes: (known?.bytes ?? 0) + bytes });
  };
  await add(dirname(places.work), 'base.tar');
  for (const place of places.tablespaces)
    await add(withinDataDirectory(place) ? dirname(places.work) : place.location, place.stream);
  let total = 0;
  for (const { path, bytes } of needs.values()) {
    total += bytes;
    await ensureSpace(path, bytes, 'the restore');
  }
  return total;
}
