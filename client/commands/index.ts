import type { Command } from 'commander';
import type { Cli } from '../cli-context.ts';
import { registerCheck } from './check.ts';
import { registerCompletion } from './completion.ts';
import { registerInit } from './init.ts';

/** Declares one command: name, description, options. Its handler imports lazily. */
export type Register = (program: Command, cli: Cli) => void;

/** In the order of `resurgo help`. */
export const commands: readonly Register[] = [registerInit, registerCheck, registerCompletion];
