import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import { writeFileAtomic } from '../../providers/host/files.ts';

/**
 * Which operation on a member came last, kept on the member's host: an activity that was held up (a stopped worker, a machine that slept) and
 * comes back after a newer operation has taken the member over must not end the server that works again now.
 */
const pathOf = (stateDir: string, target: string, member: string): string => join(stateDir, 'clusters', `${target}.${member}.epoch`);

async function readEpoch(path: string): Promise<number> {
  const text = await readFile(path, 'utf8').catch(() => '0');
  return Number(text.trim()) || 0;
}

/** @throws fenced when a newer operation holds the member */
export async function claimMember(stateDir: string, target: string, member: string, epoch: number): Promise<() => Promise<void>> {
  const path = pathOf(stateDir, target, member);
  const stillOurs = async (): Promise<void> => {
    const newest = await readEpoch(path);
    if (newest > epoch) throw new ResurgoError('fenced', `a newer operation (${String(newest)}) has taken over ${member} of ${target}; this one (${String(epoch)}) stops`);
  };
  await stillOurs();
  await mkdir(join(stateDir, 'clusters'), { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, `${String(epoch)}\n`);
  return stillOurs;
}
