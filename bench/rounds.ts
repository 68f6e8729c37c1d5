import { runTool } from './tool.ts';
import type { Sample } from './types.ts';

/** Somebody or something that does the work once per round. */
export interface Contestant {
  readonly name: string;
  readonly run: (round: number) => Promise<Sample>;
}

/**
 * Every contestant once per round, so that whatever else the machine does in these minutes meets them all; the order turns
 * by one each round. What a run left for the disk to write is written before the next one starts.
 */
export async function interleave(
  rounds: number,
  contestants: readonly Contestant[],
  onRun: (text: string) => void,
): Promise<Map<string, Sample[]>> {
  const samples = new Map<string, Sample[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const turn = round % Math.max(contestants.length, 1);
    for (const contestant of [...contestants.slice(turn), ...contestants.slice(0, turn)]) {
      await runTool('sync', []);
      const sample = await contestant.run(round);
      samples.get(contestant.name)?.push(sample);
      onRun(`round ${String(round + 1)}: ${contestant.name} ${sample.value.toFixed(2)}`);
    }
  }
  return samples;
}

/** Wall clock of `work`, seconds. */
export async function seconds<T>(work: () => Promise<T>): Promise<{ readonly value: number; readonly result: T }> {
  const begun = performance.now();
  const result = await work();
  return { value: (performance.now() - begun) / 1000, result };
}
