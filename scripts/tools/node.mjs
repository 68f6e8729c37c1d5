// A Node that runs TypeScript by itself.
import { chmodSync, cpSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { npmPackage } from './fetch.mjs';
import * as pins from './pins.mjs';
import { allOnPath, atLeast, isExecutable, run } from './process.mjs';

const parse = (text) => text.split('.').map(Number);

/** New enough, and strips types without a flag (23.0 to 23.5 do not). */
async function probe(file) {
  const { code, stdout } = await run(file, ['-p', 'process.versions.node + " " + (process.features.typescript || "")']);
  const [version, typescript] = stdout.trim().split(' ');
  return code === 0 && typescript && atLeast(parse(version), pins.minNode)
    ? { node: file, nodeVersion: version }
    : undefined;
}

export async function findNode(context) {
  if (process.features.typescript && atLeast(parse(process.versions.node), pins.minNode)) {
    return { node: process.execPath, nodeVersion: process.versions.node };
  }
  const candidates = allOnPath('node').filter((file) => file !== process.execPath);
  for (const file of [...candidates, join(context.tools, 'node/bin/node')]) {
    const found = isExecutable(file) ? await probe(file) : undefined;
    if (found) return found;
  }
  return undefined;
}

export async function fetchNode(context) {
  const work = context.temp('node');
  const from = await npmPackage(pins.node, work);
  const target = join(context.tools, 'node');
  cpSync(join(from, 'bin'), join(work, 'ready/bin'), { recursive: true });
  chmodSync(join(work, 'ready/bin/node'), 0o755);
  rmSync(target, { recursive: true, force: true });
  renameSync(join(work, 'ready'), target);
  return probe(join(target, 'bin/node'));
}
