import { readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { toolsEnv } from '../test/support/tools-env.ts';

/** What a reader needs to judge the numbers. No host name, no paths. */
export function machine(): Record<string, string | number> {
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(read('/etc/os-release'))?.[1] ?? process.platform;
  const tools = toolsEnv();
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryMB: Math.round(totalmem() / 1e6),
    system: `${system}, Linux ${release()} ${arch()}`,
    node: process.versions.node,
    temporal: tools.temporalVersion,
    postgres: tools.pgVersion,
    at: new Date().toISOString(),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
