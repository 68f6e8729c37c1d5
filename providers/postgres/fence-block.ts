/**
 * What keeps a fenced data directory from coming back as a primary, whoever starts it (a supervisor, a reboot, a person in a hurry):
 * 1. its mode lets others in, with which PostgreSQL refuses to start at all ("data directory has invalid permissions"; the files stay closed);
 * 2. `standby.signal`: where somebody mends the mode (images of containers do), it starts read-only;
 * 3. a recovery target left over from a restore would end that recovery and promote it: it pauses instead;
 * 4. `resurgo.fence` says in words who did this, when and why.
 */
import { chmod, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomic } from '../host/files.ts';

export interface FenceMark {
  readonly format: 1;
  readonly run: string;
  /** Rises with every operation on the cluster. */
  readonly epoch: number;
  readonly at: string;
  readonly why: string;
  /** Mode of the data directory before. */
  readonly mode: number;
  /** `standby.signal` was not there before. */
  readonly signalMade: boolean;
  readonly note: string;
}

const markFile = 'resurgo.fence';
const blockingBit = 0o001;
const tag = '# resurgo fence';
const settingLines = `recovery_target_action = 'pause' ${tag}\n`;

export const fenceMarkPath = (dataDir: string): string => join(dataDir, markFile);

export async function readFenceMark(dataDir: string): Promise<FenceMark | undefined> {
  try {
    return JSON.parse(await readFile(fenceMarkPath(dataDir), 'utf8')) as FenceMark;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

async function giveLike(dataDir: string, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { chown } = await import('node:fs/promises');
  const { uid, gid } = await stat(dataDir);
  await chown(path, uid, gid);
}

async function rewriteAuto(dataDir: string, change: (text: string) => string): Promise<void> {
  const path = join(dataDir, 'postgresql.auto.conf');
  const before = await readFile(path, 'utf8').catch(() => '');
  const after = change(before);
  if (after === before) return;
  await writeFileAtomic(path, after);
  await giveLike(dataDir, path);
}

const withoutOurs = (text: string): string => text.split('\n').filter((line) => !line.endsWith(tag)).join('\n');

/** Blocks every later start. Idempotent; the state before the first time is what {@link liftBlock} brings back. */
export async function blockStart(dataDir: string, mark: Pick<FenceMark, 'run' | 'epoch' | 'at' | 'why'>): Promise<FenceMark> {
  const before = await readFenceMark(dataDir);
  const signal = join(dataDir, 'standby.signal');
  const info = await stat(dataDir);
  const made: FenceMark = {
    format: 1, ...mark,
    mode: before?.mode ?? info.mode & 0o7777 & ~blockingBit,
    signalMade: before?.signalMade ?? !(await exists(signal)),
    note: 'Resurgo fenced this server: another member of its cluster became, or is about to become, the primary. Bring it back with `resurgo rejoin CLUSTER MEMBER --by rewind|clone|keep`. Do not start it by hand.',
  };
  await writeFileAtomic(fenceMarkPath(dataDir), `${JSON.stringify(made, null, 1)}\n`);
  await giveLike(dataDir, fenceMarkPath(dataDir));
  await chmod(dataDir, made.mode | blockingBit);
  if (!(await exists(signal))) {
    await writeFileAtomic(signal, '');
    await giveLike(dataDir, signal);
  }
  await rewriteAuto(dataDir, (text) => `${withoutOurs(text).replace(/\n*$/, '\n')}${settingLines}`);
  await syncDirectory(dataDir);
  return made;
}

/** Whether a start is blocked, and would be read-only even without the mode. */
export async function isBlocked(dataDir: string): Promise<boolean> {
  const info = await stat(dataDir);
  return (info.mode & 0o007) !== 0 && (await exists(join(dataDir, 'standby.signal')));
}

/**
 * Takes the block away.
 * @param asStandby leave `standby.signal`: the server comes back as a standby
 */
export async function liftBlock(dataDir: string, { asStandby }: { readonly asStandby: boolean }): Promise<void> {
  const mark = await readFenceMark(dataDir);
  if (mark === undefined) return;
  await rewriteAuto(dataDir, withoutOurs);
  if (!asStandby && mark.signalMade) await rm(join(dataDir, 'standby.signal'), { force: true });
  await chmod(dataDir, mark.mode);
  await rm(fenceMarkPath(dataDir), { force: true });
  await syncDirectory(dataDir);
}
