import { rm } from 'node:fs/promises';
import { lstatSync } from 'node:fs';
import type { BackupIndex, FilesFacts } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { dumpFiles } from '../../providers/files/dump.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';
import { runTool } from '../../providers/host/child.ts';
import { stagingPath } from '../staging.ts';
import { settingsOf } from '../target-settings.ts';
import type { DumpContext, EngineDefinition, EngineDump } from './engine.ts';
import { ownPaths } from './own-places.ts';
import { parentIndex } from './parent-index.ts';
import { filesRestoreEngine } from './restore-files.ts';

/** Directories and files of a host by GNU tar, and our own list of everything (docs/adr/0011-files.md). */
export const filesEngine: EngineDefinition = {
  name: 'files',
  async prepare({ settings }) {
    assertSource(settings.name, settingsOf(settings, 'files').config.paths);
    return { systemId: 'files', warnings: [] };
  },
  async dump(context) {
    const { config } = settingsOf(context.settings, 'files');
    return dumpFileTree(context, { paths: config.paths, exclude: config.exclude ?? [], include: config.include ?? [], oneFileSystem: config.oneFileSystem });
  },
  restore: (deps, settings) => filesRestoreEngine(deps, settings, factsOf),
};

/** @throws sourceUnreachable when none of the paths is there; one that is missing is told by the dump */
export function assertSource(target: string, paths: readonly string[]): void {
  resolveTool('tar');
  const missing = paths.filter((path) => !isThere(path));
  if (missing.length === paths.length) throw new ResurgoError('sourceUnreachable', `target ${target}: ${missing.join(', ')} cannot be looked at on this host`);
}

const factsOf = (index: BackupIndex): FilesFacts => {
  if (index.engine.engine !== 'files') throw new ResurgoError('bug', `backup ${index.backup} is ${index.engine.engine}, not files`);
  return index.engine;
};

const problems = (count: number): { problems?: number } => (count === 0 ? {} : { problems: count });

const isThere = (path: string): boolean => {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
};

async function dumpFileTree(context: DumpContext, tree: { paths: readonly string[]; exclude: readonly string[]; include: readonly string[]; oneFileSystem: boolean }): Promise<EngineDump> {
  const { deps, plan, writer, signal, report } = context;
  const parent = plan.parent === null ? undefined : await parentIndex(context, plan.parent);
  const staging = stagingPath(deps, plan.target, plan.backup);
  try {
    // A program more to start, while there is much else to wait for.
    const version = tarVersion();
    version.catch(() => undefined);
    const dump = await dumpFiles({
      selection: { paths: tree.paths, exclude: tree.exclude, include: tree.include, never: ownPaths(deps.loaded, context.settings.config) },
      oneFileSystem: tree.oneFileSystem,
      link: plan.chain.length,
      parent: parent?.engineManifest,
      writer, staging, signal,
      onProgress: report,
    });
    return {
      facts: dump.facts,
      counts: { files: dump.facts.files, ...problems(dump.facts.unread + dump.facts.changing) },
      serverVersion: await version,
      engineManifest: dump.listing,
      checks: dump.checks,
      warnings: dump.warnings,
      check: (streams) => {
        if (!streams.some((stream) => stream.name === 'files.json' && stream.bytes > 0)) throw new ResurgoError('dumpEmpty', `the backup of ${plan.target} has no summary`);
      },
    };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

const tarVersion = async (): Promise<string> => (await runTool({ command: 'tar', args: ['--version'] })).stdout.split('\n')[0] ?? 'tar';
