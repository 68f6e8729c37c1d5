import { accessSync, constants, lstatSync } from 'node:fs';
import picomatch from 'picomatch';
import type { FilesTargetConfig } from '../../config/schema.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';
import { Findings, type CheckScope } from './finding.ts';
import type { CheckedTarget } from './targets.ts';

/** The paths of a files target, on the host that backs it up. */
export async function checkFiles({ loaded, host }: CheckScope, name: string, target: FilesTargetConfig): Promise<CheckedTarget> {
  const findings = new Findings('target', name);
  if (target.host !== undefined && target.host !== host) {
    findings.note(`its files are on host ${target.host}; this is ${host}`, `Run \`resurgo check\` on ${target.host} too.`);
    return { findings: findings.list };
  }
  try {
    findings.ok(`GNU tar: ${resolveTool('tar')}`);
  } catch (error) {
    findings.error(error);
  }
  for (const path of target.paths) {
    try {
      const stats = lstatSync(path);
      accessSync(path, stats.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
      if (stats.isSymbolicLink()) findings.warn(`${path} is a symbolic link: the link is backed up, not what it leads to`, 'Name what it leads to.');
      else findings.ok(`${path} is ${stats.isDirectory() ? 'a directory' : 'a file'}`);
    } catch (error) {
      findings.fail(`${path} cannot be read: ${(error as Error).message}`, 'Correct paths, or run the worker as a user who may read it.', 'sourceDenied');
    }
  }
  for (const glob of [...(target.exclude ?? []), ...(target.include ?? [])]) {
    if (picomatch.scan(glob).negated) findings.warn(`the pattern ${JSON.stringify(glob)} begins with "!" and fits everything else`, 'Use include or exclude.');
  }
  const inside = Object.entries(loaded.config.repositories).filter(([, repository]) => repository.type === 'disk' && target.paths.some((path) => repository.path === path || repository.path.startsWith(`${path.replace(/\/+$/, '')}/`)));
  for (const [repository] of inside) findings.note(`repository ${repository} lies inside its paths; it is left out`);
  if (process.getuid?.() !== 0) findings.note('the worker does not run as root: files it may not read are reported, and a restore cannot give files to their owners');
  return { findings: findings.list };
}
