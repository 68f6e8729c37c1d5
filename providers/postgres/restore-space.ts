import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { BackupReader } from '../../domain/ports.ts';
import { ensureSpace } from '../host/space.ts';
import type { RestorePlaces } from './restore-places.ts';
import { withinDataDirectory } from './restore-places.ts';

const streamBytes = (reader: BackupReader, stream: string): number =>
  reader.index.streams.find(({ name }) => name === stream)?.bytes ?? 0;

/** Bytes a restore writes for one stream: every link is extracted once; a chain's files are then moved and merged where they are. */
export const bytesNeeded = (chain: readonly BackupReader[], stream: string): number =>
  chain.reduce((sum, reader) => sum + streamBytes(reader, stream), 0);

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
): Promise<number> {
  const needs = new Map<number, { path: string; bytes: number }>();
  const add = async (path: string, stream: string): Promise<void> => {
    const key = await device(path);
    const bytes = bytesNeeded(chain, stream);
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
