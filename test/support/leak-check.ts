import { readFileSync, readdirSync } from 'node:fs';
import { openResources } from './resources.ts';
import { sleep } from './server-process.ts';
import { tempLeftovers } from './temp.ts';

const marker = 'RESURGO_TEST_RUN';

/** Marks this process, so that everything it starts, directly or not, is recognised by its environment. */
export function markProcess(): void {
  process.env[marker] ??= `${String(process.pid)}-${String(Date.now())}`;
}

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

/** Descendants, and processes that carry our mark wherever they hang in the tree now; zombies do not count. */
function survivors(): string[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? read(`/proc/${name}/stat`) : '';
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (stat !== '' && state !== 'Z') parents.set(Number(name), Number(parent));
  }
  const ours = (pid: number): boolean => {
    for (let each = parents.get(pid); each !== undefined && each > 1; each = parents.get(each))
      if (each === process.pid) return true;
    const mark = process.env[marker];
    return (
      mark !== undefined &&
      read(`/proc/${String(pid)}/environ`)
        .split('\0')
        .includes(`${marker}=${mark}`)
    );
  };
  return [...parents.keys()]
    .filter((pid) => pid !== process.pid && ours(pid))
    .map(
      (pid) =>
        `process ${String(pid)}: ${read(`/proc/${String(pid)}/cmdline`)
          .replaceAll('\0', ' ')
          .trim()}`,
    );
}

/**
 * Nothing of ours may be left: no resource still open, no process, no temp directory. Processes get a moment to end.
 * @throws with the list of what is left
 */
export async function leakCheck(patienceMs = 20_000): Promise<void> {
  const deadline = Date.now() + patienceMs;
  let left: string[];
  do {
    left = [...openResources(), ...survivors(), ...tempLeftovers()];
    if (left.length === 0) return;
    await sleep(50);
  } while (Date.now() < deadline);
  throw new Error(`left behind:\n  ${left.join('\n  ')}`);
}
