import path from 'node:path';
import type { TargetConfig } from '../../config/schema.ts';
import { checkHookProgram } from '../../config/safe-file.ts';
import { resolveTool } from '../../providers/host/tool-command.ts';
import { Findings, type CheckScope, type Finding } from './finding.ts';

/** Programs of the service hooks of a target, where they run on this host. */
export function checkHooks({ loaded, host, env }: CheckScope, name: string, target: TargetConfig): Finding[] {
  const service = new Findings('service', name);
  if (target.host !== undefined && target.host !== host) return service.list;
  for (const hook of ['stop', 'start', 'health'] as const) {
    const program = target.service?.[hook]?.[0];
    if (program === undefined) continue;
    const what = `targets.${name}.service.${hook}`;
    try {
      const found = program.includes('/') ? path.resolve(loaded.dir, program) : resolveTool(program, env['PATH']);
      checkHookProgram(found, what, loaded.owner);
      service.ok(`${hook}: ${found}`);
    } catch (error) {
      service.error(error);
    }
  }
  return service.list;
}
