import type { Lab } from '../lab.ts';
import type { Measure } from '../types.ts';
import { drill } from './drill.ts';
import { failover } from './failover.ts';
import { filesIncremental } from './files.ts';
import { chainRestore, physicalIncremental } from './incremental.ts';
import { logicalBackup, logicalRestore } from './logical.ts';
import { workerMemory } from './memory.ts';
import { idleWorker, secondStart, stepOverhead } from './overhead.ts';
import { physicalFull, physicalRestore } from './physical.ts';
import { webhookToAction } from './reaction.ts';
import { schedulesOfMany, statusOfMany } from './scale.ts';
import { smallDatabases } from './small-databases.ts';
import { walThroughput } from './wal.ts';

export interface Group {
  /** Measures that share their peers' runs. */
  readonly names: readonly string[];
  readonly run: (lab: Lab, wanted: ReadonlySet<string>) => Promise<Measure[]>;
}

export const groups: readonly Group[] = [
  { names: ['physical-full', 'physical-full-verified'], run: physicalFull },
  { names: ['physical-restore'], run: physicalRestore },
  { names: ['logical-backup', 'logical-backup-verified'], run: logicalBackup },
  { names: ['logical-restore'], run: logicalRestore },
  { names: ['physical-incremental'], run: physicalIncremental },
  { names: ['chain-restore'], run: chainRestore },
  { names: ['files-incremental'], run: filesIncremental },
  { names: ['step-overhead-ms'], run: stepOverhead },
  { names: ['webhook-to-action-ms', 'webhook-to-action-worst-ms'], run: webhookToAction },
  { names: ['idle-worker-cpu'], run: idleWorker },
  { names: ['up-second-start'], run: secondStart },
  { names: ['worker-rss-mb'], run: workerMemory },
  { names: ['status-1000'], run: statusOfMany },
  { names: ['schedules-1000'], run: schedulesOfMany },
  { names: ['small-databases'], run: smallDatabases },
  { names: ['failover', 'failover-beside-patroni'], run: failover },
  { names: ['drill'], run: drill },
  { names: ['wal-throughput', 'wal-recovery'], run: walThroughput },
];

export const measureNames: readonly string[] = groups.flatMap(({ names }) => names);
