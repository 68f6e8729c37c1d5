import type { ObjectStore } from '../domain/ports.ts';
import { currentContext } from './failure-mapping.ts';

/**
 * In an attempt that is not the first: removes what the one before may have left half-written below a prefix. Where only the caller writes, by a lock it holds, or
 * where those who write do so again when their file was taken away.
 * Everything else of the kind goes after a day, with the next backup into that repository.
 */
export async function sweepAfterCrash(store: ObjectStore, prefix: string): Promise<void> {
  if ((currentContext()?.info.attempt ?? 1) > 1) await store.sweepTemporary?.(0, undefined, prefix);
}
