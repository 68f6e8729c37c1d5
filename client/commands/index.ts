import type { Command } from 'commander';
import type { Cli } from '../cli-context.ts';
import { registerArchive } from './archive.ts';
import { registerCheck } from './check.ts';
import { registerCompletion } from './completion.ts';
import { registerBackup } from './backup.ts';
import { registerBackups } from './backups.ts';
import { registerDrill } from './drill.ts';
import { registerGameDay } from './gameday.ts';
import { registerEvidence } from './evidence.ts';
import { registerCluster } from './cluster.ts';
import { registerFailover } from './failover.ts';
import { registerInit } from './init.ts';
import { registerIncident } from './incident.ts';
import { registerMonitor } from './monitor.ts';
import { registerPlan } from './plan.ts';
import { registerGateway } from './gateway.ts';
import { registerNotify } from './notify.ts';
import { registerKeys } from './keys.ts';
import { registerPrune } from './prune.ts';
import { registerRescue } from './rescue.ts';
import { registerRestore } from './restore.ts';
import { registerSchedules } from './schedules.ts';
import { registerStatus } from './status.ts';
import { registerUpkeep } from './upkeep.ts';
import { registerUp } from './up.ts';
import { registerVerify } from './verify.ts';
import { registerWal } from './wal.ts';
import { registerWorker } from './worker.ts';

/** Declares one command: name, description, options. Its handler imports lazily. */
export type Register = (program: Command, cli: Cli) => void;

/** In the order of `resurgo help`; a line each. */
// prettier-ignore
export const commands: readonly Register[] = [
  registerInit,
  registerCheck,
  registerUp,
  registerWorker,
  registerGateway,
  registerSchedules,
  registerBackup,
  registerBackups,
  registerVerify,
  registerPrune,
  registerUpkeep,
  registerKeys,
  registerRestore,
  registerPlan,
  registerWal,
  registerArchive,
  registerFailover,
  registerCluster,
  registerStatus,
  registerDrill,
  registerGameDay,
  registerEvidence,
  registerNotify,
  registerIncident,
  registerMonitor,
  registerRescue,
  registerCompletion,
];
