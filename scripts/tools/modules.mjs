// node_modules, exactly as package-lock.json says.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { npm } from './fetch.mjs';

const readJson = (file) => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
};

/** Compares the lock with npm's own record of what it installed; only optional packages (other platforms) may be absent. */
export function modulesAreCurrent(root) {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages;
  const present = readJson(join(root, 'node_modules/.package-lock.json'))?.packages;
  if (!wanted || !present) return false;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const installed = present[path];
    if (installed ? installed.version !== entry.version || installed.integrity !== entry.integrity : !entry.optional)
      return false;
  }
  return Object.keys(present).every((path) => path in wanted);
}

/** Installs aside and swaps, so that an interrupted install never leaves half a node_modules behind. */
export async function installModules(context) {
  const work = context.temp('modules');
  mkdirSync(work, { recursive: true });
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) {
    if (existsSync(join(context.root, file))) cpSync(join(context.root, file), join(work, file));
  }
  const args = ['ci', '--include=dev', '--include=optional'];
  await npm('Installing the npm packages', args, work);
  const target = join(context.root, 'node_modules');
  try {
    if (existsSync(target)) renameSync(target, join(work, 'old'));
    renameSync(join(work, 'node_modules'), target);
  } catch (error) {
    // A mount point (a container's volume) cannot be renamed: install in place.
    if (error.code !== 'EBUSY' && error.code !== 'EXDEV') throw error;
    await npm('Installing the npm packages', args, context.root);
  }
}
