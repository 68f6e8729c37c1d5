import type { OnProgress } from '../../domain/ports.ts';
import type { RunningTool } from '../host/child.ts';
import type { DumpPacker } from './dump-packer.ts';
import { DumpStaging, type StagedFile } from './dump-staging.ts';

const lookEveryMs = 30;

/**
 * Moves files out of staging while pg_dump makes them, until it has ended well. toc.dat, which it writes first, stays. When more
 * waits in staging than `bound`, pg_dump is held until half of that is sealed.
 * @param options.locked called once, when pg_dump has locked its tables
 * @throws toolFailed, cancelled, and what packing throws
 */
export const packWhileDumping = async (options: {
  tool: RunningTool;
  directory: string;
  jobs: number;
  packer: DumpPacker;
  bound: number;
  totalBytes: number;
  locked: () => Promise<void>;
  onProgress: OnProgress | undefined;
}): Promise<void> => {
  const { tool, packer, bound } = options;
  const staging = new DumpStaging(options.directory, tool.pid, options.jobs);
  const state = { ended: false, held: false, checked: false };
  const done = tool.done.finally(() => {
    state.ended = true;
  });
  done.catch(() => undefined);
  tool.stdout.resume();
  const hold = (wanted: boolean): void => {
    if (wanted !== state.held) tool.hold((state.held = wanted));
  };
  const report = (): void => {
    options.onProgress?.({
      phase: 'dump',
      doneBytes: packer.bytes,
      totalBytes: Math.max(options.totalBytes, packer.bytes),
    });
  };
  const pack = async (files: readonly StagedFile[]): Promise<void> => {
    let waiting = files.reduce((sum, file) => sum + file.size - packer.packed(file.name), 0);
    if (waiting > bound) hold(true);
    for (const file of files) {
      const before = packer.bytes;
      if (file.final) await packer.packFinal(file.name);
      else while (await packer.packPieces(file.name, file.size)) report();
      waiting -= packer.bytes - before;
      if (waiting < bound / 2) hold(false);
    }
    // What is left is less than a piece of each file: nothing can be done about that until it grows.
    hold(false);
    report();
  };

  let pause = lookEveryMs;
  while (!state.ended) {
    await Promise.race([done, new Promise((resolve) => setTimeout(resolve, pause))]);
    const since = performance.now();
    const all = await staging.look(packer.done);
    // With hundreds of thousands of files a look takes its time; it must not be all that is done.
    pause = Math.max(lookEveryMs, 2 * (performance.now() - since));
    // The first file there is: by then pg_dump has locked all tables.
    if (!state.checked && all.length > 0) {
      state.checked = true;
      await options.locked();
    }
    await pack(all.filter((file) => file.name !== 'toc.dat'));
  }
  await done;
  if (!state.checked) await options.locked();
  await pack((await staging.rest(packer.done)).filter((file) => file.name !== 'toc.dat'));
};
