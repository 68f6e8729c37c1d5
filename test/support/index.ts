/** Real servers for tests, demo and bench. Each has a `stop()` that leaves nothing behind. */
export { leakCheck } from './leak-check.ts';
export { type DebianTool, debianTool } from './debian.ts';
export { freePort } from './ports.ts';
export {
  type PostgresOptions,
  type PostgresServer,
  type RoleOptions,
  openPostgres,
  startPostgres,
} from './postgres.ts';
export { giveToServer, pgTool } from './postgres-cluster.ts';
export { type Resource, stopAll } from './resources.ts';
export { type RunAs, pgRunAs } from './run-as.ts';
export { type S3Options, type S3Server, s3Missing, startS3 } from './s3.ts';
export { ServerProcess, sleep } from './server-process.ts';
export { type TempDir, nameTempDirs, tempDir } from './temp.ts';
export { type SearchAttributeType, type TemporalOptions, type TemporalServer, startTemporal } from './temporal.ts';
export { type ToolsEnv, checkout, installedPostgres, toolsEnv } from './tools-env.ts';
