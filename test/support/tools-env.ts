import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What scripts/bootstrap.mjs found or fetched. */
export interface ToolsEnv {
  readonly node: string;
  readonly nodeVersion: string;
  readonly temporal: string;
  readonly temporalVersion: string;
  readonly pgBin: string;
  readonly pgMajor: number;
  readonly pgVersion: string;
  readonly moto?: { readonly python: string; readonly path: string };
}

export const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

let cached: ToolsEnv | undefined;

/** @throws when the setup never ran here. */
export function toolsEnv(): ToolsEnv {
  if (cached) return cached;
  const file = `${checkout}/.tools/env.json`;
  if (!existsSync(file)) throw new Error(`${file} is missing: run \`npm run setup\` once`);
  cached = JSON.parse(readFileSync(file, 'utf8')) as ToolsEnv;
  return cached;
}

/** Where Debian keeps a PostgreSQL of this major version, or undefined when it is not installed. */
export function installedPostgres(major: number): string | undefined {
  const bin = `/usr/lib/postgresql/${String(major)}/bin`;
  return existsSync(`${bin}/postgres`) && existsSync(`${bin}/initdb`) ? bin : undefined;
}
