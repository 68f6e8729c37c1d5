/** `npm run demo`: the main job of Resurgo on real servers, which it starts and removes itself. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatDuration } from '../config/units.ts';
import { checkout } from '../test/support/index.ts';
import { DemoError } from './children.ts';
import { type DemoOptions, parseOptions, usage } from './options.ts';
import { Screen } from './screen.ts';
import { Stage } from './stage.ts';
import { tellStory } from './story.ts';

/** Set in the process that holds everything while `--keep` wants it to go on. */
const keeperMark = 'RESURGO_DEMO_KEEPER';

async function main(): Promise<number> {
  let options: DemoOptions | 'help';
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  return options.keep && process.env[keeperMark] === undefined ? startKeeper() : play(options);
}

/** Another process, of its own session, plays and holds the servers; this one ends when the play is over. */
function startKeeper(): Promise<number> {
  const keeper = spawn(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)],
    {
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, [keeperMark]: '1' },
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => keeper.kill(signal));
  return new Promise((resolve) => {
    keeper.once('message', () => {
      keeper.disconnect();
      keeper.unref();
      resolve(0);
    });
    keeper.once('exit', (code) => {
      resolve(code ?? 1);
    });
  });
}

async function play(options: DemoOptions): Promise<number> {
  const screen = new Screen(process.stdout, process.env);
  const stopping = new AbortController();
  let signals = 0;
  const onSignal = (): void => {
    if (++signals === 1) stopping.abort(new DemoError('interrupted'));
    else if (signals > 2) process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  const orphaned = (): void => {
    stopping.abort(new DemoError('the terminal is gone'));
  };
  process.once('disconnect', orphaned);

  const began = performance.now();
  let stage: Stage | undefined;
  try {
    stage = new Stage(screen, options, stopping.signal);
    const { ui } = await tellStory(stage);
    screen.blank();
    screen.good(`all of it in ${formatDuration(performance.now() - began)}`);
    if (options.keep) {
      process.off('disconnect', orphaned);
      tellHowToStop(screen, stage, ui);
      await untilStopped(stopping.signal);
    } else {
      await stage.stop();
      screen.say(
        'Everything was stopped and removed. `npm run demo -- --keep` leaves it running, with the Temporal UI.',
      );
    }
    return 0;
  } catch (error) {
    const interrupted = stopping.signal.aborted;
    if (interrupted) screen.bad('Interrupted; stopping and removing everything …');
    else {
      screen.bad(error instanceof DemoError ? error.message : ((error as Error).stack ?? String(error)));
      const logs = stage?.saveLogs();
      if (logs !== undefined) screen.write(`  Logs: ${logs}`);
    }
    return interrupted ? 130 : 1;
  } finally {
    await stage?.stop();
  }
}

function tellHowToStop(screen: Screen, stage: Stage, ui: string): void {
  screen.say('Everything goes on running, in the background:');
  screen.say(`  Temporal UI  ${ui}`);
  screen.say(`  try it       cd ${stage.dir} && ${join(checkout, 'bin', 'resurgo')} backups`);
  screen.say(`  stop it      kill ${String(process.pid)}   (and everything is removed)`);
}

/** Lets go of the terminal, then waits. */
async function untilStopped(signal: AbortSignal): Promise<void> {
  process.send?.('kept');
  for (const descriptor of [1, 2]) {
    closeSync(descriptor);
    openSync('/dev/null', 'w');
  }
  if (!signal.aborted)
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true });
    });
}

process.exitCode = await main();
