/** `npm run bench`: see docs/benchmarks.md. */
import { Lab } from './lab.ts';
import { machine } from './machine.ts';
import { groups, measureNames } from './measures/index.ts';
import { parseOptions, usage, UsageError } from './options.ts';
import { table } from './report.ts';
import type { BenchOptions, Measure } from './types.ts';

async function main(): Promise<number> {
  let options: BenchOptions | 'help';
  try {
    options = parseOptions(process.argv.slice(2), measureNames);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n${usage}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${usage}\nMeasures: ${measureNames.join(', ')}\n`);
    return 0;
  }
  const begun = performance.now();
  const note = (text: string): void => {
    process.stderr.write(`[${((performance.now() - begun) / 1000).toFixed(0).padStart(4)} s] ${text}\n`);
  };
  const lab = new Lab(options, note);
  const interrupted = onInterrupt((signal, code) => {
    note(`${signal}: stopping`);
    void lab.abort().finally(() => process.exit(code));
  });
  const measures: Measure[] = [];
  const failures: string[] = [];
  try {
    for (const group of groups) {
      const chosen =
        options.only.length === 0 ? group.names : group.names.filter((name) => options.only.includes(name));
      if (chosen.length === 0) continue;
      note(chosen.join(', '));
      try {
        measures.push(...(await group.run(lab, new Set(chosen))));
      } catch (error) {
        if (interrupted.aborted) break;
        const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
        failures.push(`${chosen.join(', ')}: ${message}`);
        note(`failed: ${message}`);
      }
    }
  } finally {
    if (!interrupted.aborted) await lab.close();
  }
  if (interrupted.aborted) return 130;
  if (options.json)
    process.stdout.write(`${JSON.stringify({ machine: machine(), options, measures, failures }, null, 2)}\n`);
  else process.stdout.write(`\n${table(measures)}${failures.map((failure) => `failed: ${failure}\n`).join('')}`);
  return failures.length === 0 ? 0 : 1;
}

/** Calls once, at the first signal that asks us to end. */
function onInterrupt(stop: (signal: string, exitCode: number) => void): AbortSignal {
  const controller = new AbortController();
  const codes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
  for (const [signal, code] of Object.entries(codes)) {
    process.on(signal, () => {
      if (controller.signal.aborted) return;
      controller.abort();
      stop(signal, code);
    });
  }
  return controller.signal;
}

process.exitCode = await main();
