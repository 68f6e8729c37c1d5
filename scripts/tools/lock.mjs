// One setup at a time. Everything is built aside and renamed into place, so the lock only saves work; losing a race does no harm.
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Process id and start time: an id alone may have been given to another process. */
function identity(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return undefined;
  }
}

const read = (file) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
};

function tryLock(lock, mine) {
  const draft = `${lock}.${process.pid}`;
  writeFileSync(draft, mine);
  try {
    linkSync(draft, lock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

function breakStale(lock, holder) {
  const aside = `${lock}.stale.${process.pid}`;
  try {
    renameSync(lock, aside);
    // Someone may have broken it before us and taken it: give it back.
    if (read(aside) !== holder) linkSync(aside, lock);
  } catch {
    // Gone or taken again: the next round sees.
  }
  rmSync(aside, { force: true });
}

/** Runs `work` while holding `<dir>/lock`; a holder that died is noticed. */
export async function withLock(dir, onWait, work) {
  mkdirSync(dir, { recursive: true });
  const lock = join(dir, 'lock');
  const mine = identity(process.pid) ?? String(process.pid);
  for (let waited = 0; !tryLock(lock, mine); waited++) {
    const holder = read(lock);
    if (holder !== undefined && identity(holder.split(' ')[0]) !== holder) breakStale(lock, holder);
    else {
      if (waited === 0) onWait(holder?.split(' ')[0] ?? 'unknown');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  try {
    return await work();
  } finally {
    if (read(lock) === mine) rmSync(lock, { force: true });
  }
}
