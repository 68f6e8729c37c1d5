import { toolsEnv } from './tools-env.ts';

/** Where the tests' PostgreSQL programs are, for findPgTool. */
export const toolDirs = (): string[] => [toolsEnv().pgBin];
