/**
 * Who may write to a target's part of a repository: the last who claimed it. A claim is an object `<n>-<hash of its owner>`; the highest
 * (number, then hash) holds. That needs nothing of a store but consistent listing, which S3, its kin and file systems give; conditional requests, which not all
 * of them know, are not needed. What a fenced writer still has in flight lands under its own attempt id and is swept.
 */
import { createHash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { epochPrefix } from './layout.ts';
import { compareKeys } from './safe-key.ts';

const claimPattern = /^\d{12}-[0-9a-f]{16}$/;

/**
 * Takes the right to write; every earlier holder fails its next {@link checkEpoch}. An owner who holds it gets the same claim again.
 * @param owner unique to the run: a backup id, or host and time of a rescue
 * @returns the claim, for `checkEpoch`
 */
export async function claimEpoch(
  store: ObjectStore,
  target: string,
  owner: string,
  signal?: AbortSignal,
): Promise<string> {
  const prefix = epochPrefix(target);
  const hash = createHash('sha256').update(owner).digest('hex').slice(0, 16);
  for (let attempt = 0; attempt < 100; attempt++) {
    const highest = (await claims(store, prefix, signal)).at(-1);
    if (highest?.endsWith(hash) === true) return highest;
    const n = highest === undefined ? 1 : Number(highest.slice(0, 12)) + 1;
    const mine = `${String(n).padStart(12, '0')}-${hash}`;
    await store.put(prefix + mine, Buffer.from(`${JSON.stringify({ owner, claimedAt: new Date().toISOString() })}\n`), {
      ...(signal === undefined ? {} : { signal }),
    });
    const now = await claims(store, prefix, signal);
    if (now.at(-1) === mine) {
      await store.delete(
        now.filter((claim) => claim !== mine).map((claim) => prefix + claim),
        signal,
      );
      return mine;
    }
    // Another one claimed in the same moment and stands above: go above it, or each would think the other newer.
    await store.delete([prefix + mine], signal);
  }
  throw new ResurgoError(
    'lockBusy',
    `The right to write ${target} in repository ${store.name} was claimed by others a hundred times in a row.`,
  );
}

/**
 * @throws fenced when a newer claim exists
 * @throws repositoryLost when the claim is gone without a newer one
 */
export async function checkEpoch(
  store: ObjectStore,
  target: string,
  claim: string,
  signal?: AbortSignal,
): Promise<void> {
  const prefix = epochPrefix(target);
  const highest = (await claims(store, prefix, signal)).at(-1);
  if (highest === claim) return;
  if (highest !== undefined && compareKeys(highest, claim) > 0) {
    throw new ResurgoError(
      'fenced',
      `A newer run took over ${target} in repository ${store.name} (epoch ${String(Number(highest.slice(0, 12)))}, ours is ${String(Number(claim.slice(0, 12)))}).`,
    );
  }
  throw new ResurgoError(
    'repositoryLost',
    `Repository ${store.name} no longer holds the writer epoch ${claim} of ${target}.`,
  );
}

async function claims(store: ObjectStore, prefix: string, signal?: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix, signal)) {
    const claim = key.slice(prefix.length);
    if (claimPattern.test(claim)) found.push(claim);
  }
  return found.sort(compareKeys);
}
