import { isCancellation, patched } from '@temporalio/workflow';
import type { ErrorCode } from '../domain/errors.ts';
import type { WalReadBack } from '../domain/operations.ts';
import { heavyOn, lightOn } from './activity-profiles.ts';
import { factsOf } from './failures.ts';
import type { Checklist } from './progress.ts';

/** What could not be read back is one of two things: its repository does not answer, or nothing on this host opens it, which trying again does not change. */
export const unreadAs = (code: ErrorCode): 'unopened' | 'unreachable' => (code === 'wrongKey' || code === 'keyMissing' ? 'unopened' : 'unreachable');

/** Reads back archived WAL, one repository after the other; what fails in one is told and stops no other. Undefined: the target has no archive. */
export async function readBackAll(host: string | null, target: string, how: { readonly deep: boolean; readonly all: boolean; readonly heal: boolean; readonly preview?: boolean }, checklist: Checklist): Promise<WalReadBack[] | undefined> {
  if (!patched('wal-read-back')) return undefined;
  const places = await lightOn(host, `look for WAL of ${target}`).listWalPlaces({ target });
  if (places.length === 0) return undefined;
  const results: WalReadBack[] = [];
  for (const repository of places) {
    const step = `WAL in ${repository}`;
    checklist.set(step, 'in progress');
    try {
      const result = await heavyOn(host, `read back WAL in ${repository}`).readBackWal({ target, repository, now: Date.now(), ...how });
      results.push(result);
      checklist.set(step, result.status === 'damaged' ? 'failed' : 'completed', `${String(result.objects)} of ${String(result.total)} objects`);
    } catch (error) {
      if (isCancellation(error)) throw error;
      const { code, message } = factsOf(error);
      results.push({ repository, status: code === 'walDamaged' || code === 'manifestSignature' ? 'damaged' : unreadAs(code), depth: how.deep ? 'content' : 'checksum', objects: 0, bytes: 0, total: 0, unread: 0, healed: 0, healedFrom: [], damaged: 0, problems: [], losses: [], error: { code, message } });
      checklist.set(step, 'failed', message);
    }
  }
  return results;
}
