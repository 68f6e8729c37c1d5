import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from './server-process.ts';
import type { Stack } from './stack.ts';

/** What drills left: marks, and in these places directories, sockets and processes. Waits a while for it to vanish. */
export async function drillsLeft(stack: Stack, places: readonly string[], patienceMs = 240_000): Promise<string[]> {
  // eslint-disable-next-line @typescript-eslint/no-meaningless-void-operator -- the pause of the loop
  for (const until = Date.now() + patienceMs; ; void (await sleep(200))) {
    const left = look(stack, places);
    if (left.length === 0 || Date.now() > until) return left;
  }
}

const names = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);

function look(stack: Stack, places: readonly string[]): string[] {
  return [
    ...['drills', 'staging', 'restoring'].flatMap((place) => names(join(stack.stateDir, place)).map((name) => `${place}/${name}`)),
    ...places.flatMap((place) => names(place).filter((name) => /^resurgo-(drill|pg)-/.test(name)).map((name) => join(place, name))),
    ...names('/proc').filter((pid) => /^\d+$/.test(pid)).flatMap((pid) => {
      const command = commandOf(pid);
      return places.some((place) => command.includes(`${place}/resurgo-drill-`)) ? [`process ${pid}: ${command.slice(0, 120)}`] : [];
    }),
  ];
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** A temporary directory for a worker of its own (TMPDIR), short enough for sockets, and open to the server's user on its way through. */
export function drillTemporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'rd-'));
  chmodSync(path, 0o711);
  return path;
}
