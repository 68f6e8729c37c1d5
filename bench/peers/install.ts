import { existsSync } from 'node:fs';
import { runTool } from '../tool.ts';

/** Undefined when the file is there (perhaps after installing the package), else why not. */
export async function ensureInstalled(
  file: string,
  packageName: string,
  onNote: (text: string) => void,
): Promise<string | undefined> {
  if (existsSync(file)) return undefined;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    return `${packageName} is not installed, and only root on Debian installs it here`;
  onNote(`installing ${packageName}`);
  try {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const install = (): Promise<string> =>
      runTool('apt-get', ['install', '-y', '--no-install-recommends', packageName], { env });
    // The lists of a fresh image are empty.
    await install().catch(async () => {
      await runTool('apt-get', ['update'], { env });
      return install();
    });
  } catch (error) {
    return `${packageName} cannot be installed: ${(error as Error).message.split('\n').slice(0, 3).join(' ')}`;
  }
  return existsSync(file) ? undefined : `${packageName} was installed, but has no ${file}`;
}
