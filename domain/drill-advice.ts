/** What a drill's facts recommend, in words. Pure. */
import { formatDuration } from './format.ts';
import type { GroupedCheck, RpoResult, RtoSplit } from './drill.ts';

export interface DrillFacts {
  readonly objectives: { readonly rtoMs: number; readonly rpoMs: number };
  readonly rto: RtoSplit | null;
  readonly rtoMs: number | null;
  readonly rpo: RpoResult | null;
  readonly checks: readonly GroupedCheck[];
  /** The longest time between two scheduled backups; null where fewer than two are scheduled. */
  readonly scheduleGapMs: number | null;
  readonly chainLength: number;
  readonly repositories: readonly string[];
  readonly tablesWithoutStatistics: number;
  readonly hasMarker: boolean;
  readonly hasFunctionChecks: boolean;
  readonly hasPerformance: boolean;
  readonly cleanedUp: boolean;
  readonly left?: string | undefined;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string } | undefined;
}

/** Ordered by weight: what was missed or failed first. */
export function recommendationsOf(facts: DrillFacts): string[] {
  const { objectives, rto, rtoMs, rpo, checks } = facts;
  const advice: string[] = [];
  const add = (when: boolean, text: string): void => {
    if (when) advice.push(text);
  };
  if (facts.error !== undefined) advice.push(`The restore did not get through (${facts.error.code}): ${facts.error.hint ?? 'see the error'} Until it does, this target counts as not recoverable.`);
  for (const check of checks) if (check.outcome === 'failed') advice.push(adviceFor(check));
  add(!facts.cleanedUp, `Something was left behind: ${facts.left ?? 'see the run'}. The next drill, or a restart of the worker, tries to remove it again.`);
  const gap = facts.scheduleGapMs;
  if (rpo?.rpoMs != null && rpo.rpoMs > objectives.rpoMs) {
    advice.push(`${formatDuration(rpo.rpoMs)} of data would have been lost, ${formatDuration(objectives.rpoMs)} are allowed: ${gap === null ? 'add a schedule' : gap > objectives.rpoMs ? 'take backups more often' : 'look why the newest backup is older than the schedule says'}, or archive WAL.`);
  }
  add(gap !== null && gap > objectives.rpoMs, `The schedule leaves up to ${formatDuration(gap ?? 0)} between two backups: an RPO of ${formatDuration(objectives.rpoMs)} cannot be met by it, whatever this drill measured.`);
  add(gap === null, 'Nothing is scheduled: the age of the newest backup, and with it the loss, has no bound. Add a policy with a schedule.');
  if (rtoMs !== null && rto !== null) {
    add(rtoMs > objectives.rtoMs, `Recovery took ${formatDuration(rtoMs)}, ${formatDuration(objectives.rtoMs)} are allowed.`);
    add(rtoMs <= objectives.rtoMs && rtoMs > objectives.rtoMs * 0.8, `Recovery took ${percent(rtoMs / objectives.rtoMs)} of its objective: growth of the data will miss it soon.`);
    const matters = rtoMs > objectives.rtoMs * 0.1;
    add(matters && rto.fetch > rtoMs * 0.5, `${percent(rto.fetch / rtoMs)} of the recovery time is fetching (from ${facts.repositories.join(', ')}): keep a copy in a repository nearer to the destination.`);
    add(matters && rto.restore > rtoMs * 0.6, `${percent(rto.restore / rtoMs)} of the recovery time is building and starting the data: a physical backup, more jobs, or faster disks shorten it.`);
    add(matters && facts.chainLength > 7, `${facts.chainLength} backups had to be combined: a full or differential backup more often shortens the chain.`);
  }
  add(facts.repositories.length === 1, `The backup is in one repository only (${facts.repositories.join('')}): with it goes the backup. Name a second one in the policy.`);
  add(facts.tablesWithoutStatistics > 0, `${facts.tablesWithoutStatistics} table(s) have no statistics after the restore: run ANALYZE before applications are let in.`);
  if (rpo?.dataLossRatio != null && rpo.dataLossRatio > 0.0001) advice.push(`${percent(rpo.dataLossRatio)} of the records were missing at the recovery point; less than 0.01 % is wanted.`);
  for (const check of checks) if (check.outcome === 'warning') advice.push(`${check.name}: ${check.detail}.`);
  add(!facts.hasFunctionChecks, 'No functional check is configured: that the data serves the application was not shown. Add `checks` to the drill.');
  add(!facts.hasMarker && rpo?.basis !== 'none', 'The data loss window comes from times of the backup, not from the data: add a `marker` query to the drill.');
  add(!facts.hasPerformance, 'No performance check is configured: that the restored database is fast enough was not shown. Add `performance` to the drill.');
  return [...new Set(advice)];
}

function adviceFor(check: GroupedCheck): string {
  const head = `"${check.name}" failed: ${check.detail}.`;
  switch (check.group) {
    case 'integrity':
      return `${head} Do not rely on this backup; verify the source and take a new full backup now.`;
    case 'performance':
      return `${head} Compare indexes and settings with production; the limit is p95Ms of the drill.`;
    case 'function':
      return `${head} Either the data is not what it should be, or the check no longer fits the application.`;
    case 'restore':
    case 'files':
      return head;
  }
}

const percent = (share: number): string => `${share >= 0.1 ? Math.round(share * 100) : Math.round(share * 10_000) / 100} %`;
