import { join } from 'node:path';
import { formatBytes } from '../config/units.ts';
import { sleep } from '../test/support/index.ts';
import type { AllInOne } from './all-in-one.ts';
import { DemoError } from './children.ts';
import { Evidence } from './evidence.ts';
import type { Offsite } from './offsite.ts';
import { partFiles } from './part-files.ts';
import { resurgo } from './resurgo.ts';
import type { Stage } from './stage.ts';

/** How fast the line is after the kill, bytes per second: the point is made, nobody wants to wait. */
const fastLine = 64 * 1024 * 1024;

const many = (count: number, what: string): string => `${String(count)} ${what}${count === 1 ? '' : 's'}`;

/** Takes a backup to both repositories, kills the worker in the middle of the upload, and counts what was done twice. */
export async function backUpAcrossAKill(stage: Stage, up: AllInOne, offsite: Offsite): Promise<{ ms: number }> {
  const { screen } = stage;
  const evidence = await Evidence.of(up, 'shop-sql');
  const ours = new AbortController();
  try {
    const killer = killInUpload(stage, up, offsite, evidence, ours.signal);
    killer.catch(() => undefined);
    const result = await resurgo(stage, ['backup', 'shop-sql'], {
      remark: 'one database by pg_dump, to both repositories',
      show: (line, from) => from === 'stdout' || /^see |: done|: attempt/.test(line),
    });
    ours.abort();
    const killed = await killer;
    if (!killed) throw new DemoError('the upload had ended before the worker could be killed; try a larger --size');
    await account(stage, offsite, evidence, killed.parts);
    screen.good('the run went on where it was', result.ms);
    return { ms: result.ms };
  } finally {
    ours.abort();
    await evidence.close();
  }
}

/** Waits until the dump has ended and the upload has got somewhere, then kills. @returns undefined when there was no such moment */
async function killInUpload(
  stage: Stage,
  up: AllInOne,
  offsite: Offsite,
  evidence: Evidence,
  over: AbortSignal,
): Promise<{ parts: number } | undefined> {
  let first: { stored: number; at: number } | undefined;
  for (;;) {
    if (over.aborted || stage.signal.aborted) return undefined;
    const state = await evidence.now();
    const upload = state?.active.find((work) => work.activity === 'storeBackup');
    if (upload !== undefined) {
      const stored = offsite.stored();
      first ??= { stored, at: performance.now() };
      // This activity began after the dump's end, and has sent a part, or has been at it for a while.
      if (stored > first.stored || (stored > 0 && performance.now() - first.at > 500)) break;
    }
    await sleep(100);
  }
  const pid = up.workerPid();
  if (pid === undefined) throw new DemoError('resurgo up has no worker');
  const total = partFiles(join(stage.dir, 'backups', 'shop-sql')).length;
  offsite.mark();
  const parts = offsite.stored();
  up.news();
  process.kill(pid, 'SIGKILL');
  stage.screen.alarm(
    `$ kill -9 ${String(pid)}   # the worker, in the middle of the upload: ${String(parts)} of ${many(total, 'part')} are there`,
  );
  const next = await up.anotherWorker(pid, stage.signal);
  for (const line of up.news()) stage.screen.output(`resurgo up: ${line}`, true);
  stage.screen.output(
    `resurgo up: worker ${String(next)} starts; it gets the upload when the dead one has been silent for 15 s`,
    true,
  );
  offsite.speedUp(fastLine);
  return { parts };
}

/** Counts, and does not believe itself. @throws DemoError when something was done twice */
async function account(stage: Stage, offsite: Offsite, evidence: Evidence, before: number): Promise<void> {
  const executions = await evidence.executions();
  const dump = executions.get('dumpBackup');
  const store = executions.get('storeBackup');
  const receipts = [...offsite.receipts().values()];
  const local = partFiles(join(stage.dir, 'backups', 'shop-sql')).length;
  const twice = receipts.filter((count) => count !== 1).length;
  const { screen } = stage;
  screen.say('Counted afterwards:');
  screen.say(
    `  dump    scheduled ${many(dump?.scheduled ?? 0, 'time')}, ended in attempt ${String(dump?.attempt)}   (history of the run)`,
  );
  screen.say(
    `  upload  scheduled ${many(store?.scheduled ?? 0, 'time')}, ended in attempt ${String(store?.attempt)}   (the second began on the new worker)`,
  );
  screen.say(
    `  parts   ${String(local)} made, ${String(receipts.length)} arrived offsite: ${String(before)} before the kill, ${String(receipts.length - before)} after; arrived twice: ${String(twice)}`,
  );
  screen.say(`          (counted by ${offsite.countedBy})`);
  if (dump?.scheduled !== 1 || dump.attempt !== 1) throw new DemoError('the dump was done more than once');
  if ((store?.attempt ?? 0) < 2) throw new DemoError('the upload was not interrupted');
  if (twice > 0 || receipts.length !== local) throw new DemoError('parts were sent twice, or are missing');
}

export const slowLine = (sizeMib: number): number => Math.round((sizeMib * 1024 * 1024) / 90);

export const describeLine = (bytesPerSecond: number): string => `${formatBytes(bytesPerSecond)}/s`;
