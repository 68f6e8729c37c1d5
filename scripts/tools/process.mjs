// Finding and running programs, with nothing newer than Node 18.
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** Something a person has to put right; printed without a stack. */
export class SetupError extends Error {}

export function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Every executable of that name on PATH, first match first. */
export function allOnPath(name, path = process.env.PATH ?? '') {
  const found = [];
  for (const dir of path.split(delimiter)) {
    if (isAbsolute(dir) && isExecutable(join(dir, name)) && !found.includes(join(dir, name)))
      found.push(join(dir, name));
  }
  return found;
}

/** Runs a program to its end; resolves with its output whatever the exit code, code 127 when it cannot be started. */
export function run(file, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk) => (stdout += chunk));
    child.stderr?.on('data', (chunk) => (stderr = (stderr + chunk).slice(-20_000)));
    child.on('error', (error) => resolve({ code: 127, stdout, stderr: error.message }));
    child.on('close', (code, signal) => resolve({ code: code ?? 128, signal, stdout, stderr }));
  });
}

/** Like {@link run}, but failing is an error that carries the program's last words. */
export async function mustRun(what, file, args, options) {
  const result = await run(file, args, options);
  if (result.code !== 0) {
    const words = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-12).join('\n  ');
    throw new SetupError(`${what} failed (${file} ended with ${result.signal ?? result.code}):\n  ${words}`);
  }
  return result;
}

/** The first version-like number of `<program> --version`, as [major, minor], or undefined when it does not run. */
export async function versionOf(file) {
  const { code, stdout } = await run(file, ['--version']);
  const match = code === 0 ? /(\d+)\.?(\d+)?[^\s]*/.exec(stdout.replace(/^\D*/, '')) : null;
  return match ? { text: match[0], parts: [Number(match[1]), Number(match[2] ?? 0)] } : undefined;
}

export const atLeast = (version, least) => version[0] > least[0] || (version[0] === least[0] && version[1] >= least[1]);
