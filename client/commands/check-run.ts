import type { CliContext } from '../cli-context.ts';
import type { CheckOptions } from './check.ts';

export async function runCheck(context: CliContext, _options: CheckOptions): Promise<number> {
  await context.loadConfig();
  return 0;
}
