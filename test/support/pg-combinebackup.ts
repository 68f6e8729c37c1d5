import { runTool } from '../../providers/host/child.ts';
import { findPgTool } from '../../providers/postgres/tools.ts';
import { toolDirs } from './physical-tools.ts';

/** PostgreSQL's own program, against which our merge is held. Links oldest first, each with its `backup_manifest` or none. */
export async function pgCombine(
  major: number,
  links: readonly string[],
  output: string,
  tablespaces: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  const tool = await findPgTool('pg_combinebackup', major, { dirs: toolDirs() });
  const mapping = [...tablespaces].flatMap(([from, to]) => ['--tablespace-mapping', `${from}=${to}`]);
  await runTool({ command: tool.path, args: ['--no-sync', '--no-manifest', ...mapping, '--output', output, ...links] });
}
