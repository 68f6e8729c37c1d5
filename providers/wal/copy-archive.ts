import type { ObjectStore } from '../../domain/ports.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { parsePieceName } from '../../domain/wal.ts';
import { bringKey } from '../repository/bring-keys.ts';
import { parseWalHeader, parseWalObject, type WalHeader } from './wal-object.ts';
import { lineageFile, walPrefix } from './layout.ts';
import { readBackFile } from './read-back-state.ts';

/** Brings what one repository has of the WAL archive to another that lacks it. @returns how many objects went over */
export async function copyArchive(from: ObjectStore, to: ObjectStore, target: string, systemId: string, trusted: readonly string[], signal: AbortSignal): Promise<number> {
  const prefix = walPrefix(target, systemId);
  const there = new Set<string>();
  // What lies before its first piece of a timeline its own retention has let go.
  const first = new Map<string, bigint>();
  for await (const { key } of to.list(prefix, signal)) {
    there.add(key);
    const at = key.lastIndexOf('/');
    const piece = parsePieceName(key.slice(at + 1));
    const known = first.get(key.slice(0, at));
    if (piece !== undefined && (known === undefined || piece.start < known)) first.set(key.slice(0, at), piece.start);
  }
  const keys = new Set<string>();
  let copied = 0;
  for await (const { key } of from.list(prefix, signal)) {
    if (there.has(key)) continue;
    const name = key.slice(key.lastIndexOf('/') + 1);
    // What each repository remembers of itself.
    if (name === readBackFile) continue;
    const begins = first.get(key.slice(0, key.lastIndexOf('/')));
    const listed = parsePieceName(name);
    if (begins !== undefined && listed !== undefined && listed.end <= begins) continue;
    let bytes: Buffer;
    try {
      bytes = await from.get(key, { signal });
    } catch (error) {
      // Replaced by a larger one since it was listed.
      if (isResurgoError(error, 'objectMissing')) continue;
      throw error;
    }
    if (name !== lineageFile) {
      const header = headerOf(bytes, name, `${key} in ${from.name}`, trusted);
      // What is damaged is not spread; reading back names it.
      if (header === undefined) continue;
      if (header.key !== undefined && !keys.has(header.key)) {
        await bringKey(from, to, header.key, signal);
        keys.add(header.key);
      }
    }
    await to.put(key, bytes, { signal });
    copied++;
  }
  return copied;
}

/** Of an object that is whole, as far as can be told without its key. @throws manifestSignature */
function headerOf(bytes: Buffer, name: string, what: string, trusted: readonly string[]): WalHeader | undefined {
  try {
    return (parsePieceName(name)?.key === undefined ? parseWalHeader(bytes, what, trusted) : parseWalObject(bytes, what, trusted)).header;
  } catch (error) {
    if (isResurgoError(error, 'walDamaged')) return undefined;
    throw error;
  }
}
