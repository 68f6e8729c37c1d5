import { Gauge, type Registry } from 'prom-client';
import type { BoardFacts } from './facts.ts';

/** Gauges of backup health, set from the board's facts at each scrape. Names: docs/guides/board.md. */
export function healthMetrics(registry: Registry): (facts: BoardFacts) => void {
  const registers = [registry];
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) => new Gauge<L>({ name: `resurgo_${name}`, help, labelNames, registers });
  const rpo = gauge('rpo_seconds', 'Data that would be lost now; absent when nothing can be restored or it is not known.', ['target']);
  const rpoObjective = gauge('rpo_objective_seconds', 'What the configuration promises.', ['target']);
  const ready = gauge('target_ready', '1 while no objective of the target is missed.', ['target']);
  const problems = gauge('target_problems', 'Problems by code and severity.', ['target', 'code', 'severity']);
  const newest = gauge('newest_backup_timestamp_seconds', 'When the newest verified backup began.', ['target', 'kind']);
  const duration = gauge('newest_backup_duration_seconds', 'How long it took.', ['target']);
  const size = gauge('newest_backup_source_bytes', 'Size of what it holds.', ['target']);
  const repositoryUp = gauge('repository_up', '1 while the repository answers.', ['repository']);
  const repositoryFree = gauge('repository_free_bytes', 'Room in a repository, where it can tell.', ['repository']);
  const drillAt = gauge('drill_timestamp_seconds', 'When the newest drill was.', ['target']);
  const drillPassed = gauge('drill_passed', '1 when the newest drill passed.', ['target']);
  const lagBytes = gauge('replication_lag_bytes', 'WAL of the primary that the standby has not replayed; absent when it is not known.', ['target', 'standby']);
  const lagSeconds = gauge('replication_lag_seconds', 'For how long the primary has had what the standby lacks; absent when it is not known.', ['target', 'standby']);
  const streaming = gauge('replication_streaming', '1 while the standby receives from its primary.', ['target', 'standby']);
  const retained = gauge('replication_slot_retained_bytes', 'WAL the slot of the standby holds on the primary.', ['target', 'standby']);
  const primaryUp = gauge('replication_primary_up', '1 while exactly one primary answers.', ['target']);
  const runsOf = gauge('runs_30d', 'Runs of the last 30 days by how they ended; missed: due by a schedule and never started.', ['target', 'operation', 'kind', 'outcome']);
  const success = gauge('success_ratio', 'Share of the runs of 30 days that ended well, those that never started counted.', ['target', 'operation', 'kind']);
  const incidents = gauge('incidents_open', 'Open incidents by severity.', ['severity']);
  const runs = gauge('runs', 'Runs at work by type.', ['type']);
  const unknown = gauge('unknown', 'Sources that could not be asked.');
  const all = [rpo, rpoObjective, ready, problems, newest, duration, size, repositoryUp, repositoryFree, drillAt, drillPassed, runsOf, success, lagBytes, lagSeconds, streaming, retained, primaryUp, incidents, runs];
  return (facts) => {
    // What is gone must not stay at its last value.
    for (const each of all) each.reset();
    for (const target of facts.status.targets) {
      const labels = { target: target.name };
      if (target.rpoMs !== null) rpo.set(labels, target.rpoMs / 1000);
      rpoObjective.set(labels, target.objectives.rpoMs / 1000);
      ready.set(labels, target.problems.some(({ severity }) => severity === 'objective') ? 0 : 1);
      for (const { code, severity } of target.problems) problems.inc({ ...labels, code, severity });
      const { replication } = target;
      if (replication != null) {
        primaryUp.set(labels, replication.state === 'ok' || replication.state === 'degraded' ? 1 : 0);
        for (const { name: standby, state, lagBytes: bytes, lagMs, slot } of replication.standbys) {
          const its = { ...labels, standby };
          streaming.set(its, state === 'streaming' ? 1 : 0);
          if (bytes !== null) lagBytes.set(its, bytes);
          if (lagMs !== null) lagSeconds.set(its, lagMs / 1000);
          if (slot !== null && slot.retainedBytes !== null) retained.set(its, slot.retainedBytes);
        }
      }
      for (const { operation, kind = '', succeeded, failed, missed, rate } of target.health) {
        const of = { ...labels, operation, kind };
        for (const [outcome, count] of Object.entries({ succeeded, failed, missed })) runsOf.set({ ...of, outcome }, count);
        if (rate !== null) success.set(of, rate);
      }
      if (target.newest === null) continue;
      newest.set({ ...labels, kind: target.newest.kind }, Date.parse(target.newest.startedAt) / 1000);
      duration.set(labels, target.newest.durationMs / 1000);
      if (target.newest.sourceBytes !== null) size.set(labels, target.newest.sourceBytes);
    }
    for (const { name, status, freeBytes } of facts.status.repositories) {
      repositoryUp.set({ repository: name }, status === 'ok' ? 1 : 0);
      if (freeBytes !== undefined) repositoryFree.set({ repository: name }, freeBytes);
    }
    const seen = new Set<string>();
    for (const { target, at, status } of facts.drills) {
      if (seen.has(target)) continue;
      seen.add(target);
      drillAt.set({ target }, Date.parse(at) / 1000);
      drillPassed.set({ target }, status === 'passed' ? 1 : 0);
    }
    for (const severity of ['low', 'medium', 'high', 'critical']) incidents.set({ severity }, facts.incidents.filter((one) => one.severity === severity).length);
    for (const { type } of facts.runs) runs.inc({ type });
    unknown.set(facts.unknown.length + (facts.status.temporal.reachable ? 0 : 1));
  };
}
