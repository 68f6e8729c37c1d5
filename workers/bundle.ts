import { createHash } from 'node:crypto';
import { access, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundleOption } from '@temporalio/worker';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * The workflow bundle. A release ships it beside `dist/`; a checkout builds it once per content of `workflows/` and `domain/`
 * and keeps it under `cacheDir`, because bundling costs seconds at every start.
 */
export async function workflowBundle(cacheDir: string): Promise<WorkflowBundleOption> {
  const shipped = join(root, 'workflow-bundle.js');
  if (await exists(shipped)) return { codePath: shipped };
  const cached = join(cacheDir, `workflows-${await sourceHash()}.js`);
  if (await exists(cached)) return { codePath: cached };
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'workflows', 'index.ts'),
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error: (message: string) => process.stderr.write(`${message}\n`) },
  });
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const temporary = `${cached}.${String(process.pid)}.tmp`;
  await writeFile(temporary, code, { mode: 0o600 });
  await rename(temporary, cached);
  await sweepOld(cacheDir, cached);
  return { codePath: cached };
}

async function sourceHash(): Promise<string> {
  const hash = createHash('sha256');
  const { version } = createRequire(import.meta.url)('@temporalio/workflow/package.json') as { version: string };
  hash.update(version);
  for (const folder of ['domain', 'workflows']) {
    const names = (await readdir(join(root, folder), { recursive: true })).sort();
    for (const name of names) {
      const path = join(root, folder, name);
      if ((await stat(path)).isFile()) hash.update(`\0${folder}/${name}\0`).update(await readFile(path));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Keeps the newest few: two checkouts may share a cache. */
async function sweepOld(cacheDir: string, keep: string): Promise<void> {
  const weekMs = 7 * 24 * 3600_000;
  for (const name of await readdir(cacheDir)) {
    const path = join(cacheDir, name);
    if (!name.startsWith('workflows-') || path === keep) continue;
    const info = await stat(path).catch(() => undefined);
    if (info !== undefined && Date.now() - info.mtimeMs > weekMs) await rm(path, { force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
