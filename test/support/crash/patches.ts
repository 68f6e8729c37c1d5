/** In a worker that is to crash: queries, file operations and started programs count as effects too. */
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import pg from 'pg';
import type { CrashOperation } from './plan.ts';
import { effect } from './effects.ts';

type AnyFunction = (...args: unknown[]) => unknown;

const text = (value: unknown): string => (typeof value === 'string' ? value : value instanceof URL || value instanceof Buffer ? value.toString() : '');

/** To be called once, before anything works. Built-in modules give the replaced functions to every importer. */
export function patchEffects(): void {
  const promises = fs.promises as unknown as Record<string, AnyFunction>;
  for (const name of ['rename', 'rm', 'mkdir', 'symlink', 'unlink', 'rmdir'] satisfies CrashOperation[]) {
    const original = promises[name] as AnyFunction;
    promises[name] = (...args) => effect(name, args.slice(0, 2).map(text).filter(Boolean).join(' → '), () => original(...args));
  }
  const spawn = childProcess.spawn as unknown as AnyFunction;
  (childProcess as unknown as { spawn: AnyFunction }).spawn = (...args) => effect('spawn', [text(args[0]), ...((args[1] as string[] | undefined) ?? [])].join(' '), () => spawn(...args));
  syncBuiltinESMExports();
  const prototype = pg.Client.prototype as unknown as { query: AnyFunction };
  const query = prototype.query;
  prototype.query = function patched(this: unknown, ...args) {
    const [first] = args;
    const sql = typeof first === 'string' ? first : text((first as { text?: unknown } | undefined)?.text);
    return effect('sql', sql.slice(0, 200), () => query.apply(this, args), {}, sql);
  };
}
