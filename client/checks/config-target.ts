import type { ConfigTargetConfig } from '../../config/schema.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';
import { checkFiles } from './files-target.ts';
import { Findings, type CheckScope } from './finding.ts';
import type { CheckedTarget } from './targets.ts';

/** The files of a configuration bundle, and whether services can be asked for their definitions. */
export async function checkConfigBundle(scope: CheckScope, name: string, { type: _, files, services, databases: __, ...target }: ConfigTargetConfig): Promise<CheckedTarget> {
  const checked = await checkFiles(scope, name, { ...target, type: 'files', paths: files, oneFileSystem: false });
  const findings = new Findings('target', name);
  if (services !== undefined && (target.host === undefined || target.host === scope.host)) {
    try {
      findings.ok(`service definitions by ${resolveTool('systemctl')}`);
    } catch (error) {
      findings.error(error, 'warn');
    }
  }
  return { ...checked, findings: [...checked.findings, ...findings.list] };
}
