import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from './server-process.ts';
import type { Stack } from './stack.ts';

/** What drills left: directories, marks, processes in drill directories, sockets. Waits a while for it to vanish. */
export async function drillsLeft(stack: Stack, places: readonly string[], patienceMs = 60_000): Promise<string[]> {
  for (const until = Date.now() + patienceMs; ; void (await sleep(200))) {
    const left = look(stack, places);
    if (left.length === 0 || Date.now() > until) return left;
  }
}

const names = (dir: string): string[] => (existsSync(dir) ? readdirSync(dir) : []);

function look(stack: Stack, places: readonly string[]): string[] {
  const ours = (name: string): boolean => name.startsWith('resurgo-drill-') || name.startsWith('resurgo-pg-');
  return [
    ...['drills', 'staging', 'restoring'].flatMap((place) => names(join(stack.stateDir, place)).map((name) => `${place}/${name}`)),
    ...[...places, tmpdir()].flatMap((place) => names(place).filter((name) => name.startsWith('resurgo-drill-') || (place !== tmpdir() && ours(name))).map((name) => join(place, name))),
    ...names('/proc').filter((pid) => /^\d+$/.test(pid)).flatMap((pid) => {
      const command = (() => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        } catch {
          return '';
        }
      })();
      return places.some((place) => command.includes(`${place}/resurgo-drill-`)) ? [`process ${pid}: ${command.slice(0, 120)}`] : [];
    }),
  ];
}
