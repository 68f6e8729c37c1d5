/** The bundle's entry: every workflow type, frozen by name once released. */
export { archive } from './archive.workflow.ts';
export { archiveOperation } from './archive-operation.workflow.ts';
export { backup } from './backup.workflow.ts';
export { backupOperation } from './backup-operation.workflow.ts';
export { incident } from './incident.workflow.ts';
export { notification } from './notification.workflow.ts';
export { finishRestore, finishRestoreRun, restore, restoreOperation, restoreRun } from './restore.workflow.ts';
export { drill, drillOperation } from './drill.workflow.ts';
export { attachStandby, attachStandbyRun } from './attach.workflow.ts';
export { switchover, switchoverRun } from './switchover.workflow.ts';
export { failover, failoverRun } from './failover.workflow.ts';
export { prune } from './prune.workflow.ts';
export { pruneOperation } from './prune-operation.workflow.ts';
export { upkeep, upkeepOperation } from './upkeep.workflow.ts';
export { verify } from './verify.workflow.ts';
export { planRun, recover } from './recover.workflow.ts';
export { walArchive } from './wal-archive.workflow.ts';
export { evaluatePlans } from './evaluate-plans.workflow.ts';
