// An AWS emulator (moto) for the tests and the demo. Optional: what needs it says so when it is absent.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pythonWithPip } from './fetch.mjs';
import * as pins from './pins.mjs';
import { SetupError, isExecutable, mustRun, run } from './process.mjs';

const requirements = pins.moto.requirements.join(' ');

/** Run it as `<python> -m moto.server` with PYTHONPATH set to `path`. */
export function findMoto(context) {
  const path = join(context.tools, 'moto');
  try {
    const record = JSON.parse(readFileSync(join(path, 'resurgo.json'), 'utf8'));
    if (record.requirements === requirements && isExecutable(record.python))
      return { moto: { python: record.python, path } };
  } catch {
    // Not there, or not whole.
  }
  return undefined;
}

export async function fetchMoto(context) {
  const python = await pythonWithPip();
  const work = context.temp('moto');
  const ready = join(work, 'ready');
  mkdirSync(work, { recursive: true });
  // --target is neither a system nor a user install: "externally managed" Pythons allow it.
  await mustRun('Fetching moto from PyPI', python, [
    ...['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-warn-conflicts', '--only-binary=:all:'],
    ...['--target', ready, ...pins.moto.requirements],
  ]);
  const { code, stderr } = await run(python, ['-c', 'import moto.server'], {
    env: { ...process.env, PYTHONPATH: ready },
  });
  if (code !== 0)
    throw new SetupError(`The fetched moto does not load in ${python}: ${stderr.trim().split('\n').pop()}`);
  writeFileSync(join(ready, 'resurgo.json'), JSON.stringify({ version: pins.moto.version, requirements, python }));
  const target = join(context.tools, 'moto');
  if (existsSync(target)) rmSync(target, { recursive: true, force: true });
  renameSync(ready, target);
  return findMoto(context);
}
