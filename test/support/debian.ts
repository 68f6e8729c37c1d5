import { debianProgram } from '../../scripts/tools/debian.mjs';
import { checkout } from './tools-env.ts';

export type DebianTool =
  | 'age'
  | 'zstd'
  | 'jq'
  | 'xxd'
  | 'openssl'
  | 'named'
  | 'tsig-keygen'
  | 'rndc'
  | 'nsupdate'
  | 'dig'
  | 'redis-server'
  | 'prometheus-alertmanager'
  | 'prometheus'
  | 'chromium';

/**
 * Path of a program of a Debian package: the installed one, or one fetched into `.tools/debian`, which needs neither root nor a service.
 * Use it at the top of a test file: `const named = await debianTool('named');`
 * @throws Error naming the package when it is not to be had
 */
export const debianTool = (name: DebianTool): Promise<string> => debianProgram(checkout, name);
