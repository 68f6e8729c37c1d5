/** What the board and the metrics tell: readiness of every target, what runs now, the newest evidence. */
import type { Client } from '@temporalio/client';
import type { LoadedConfig } from '../../../config/load.ts';
import type { IncidentView } from '../../../domain/incident.ts';
import type { EvaluationReport } from '../../../domain/plan/evaluation.ts';
import type { PlanView } from '../../../domain/plan/view.ts';
import type { CheckItem } from '../../../workflows/progress.ts';
import { gatherEvidence, type EvidenceEntry } from '../../evidence.ts';
import { observe } from '../../follow.ts';
import { evaluationsIn } from '../../plan/evaluations.ts';
import { openIncidents, queryOr } from '../../status/incidents.ts';
import { statusReport, type StatusReport } from '../../status/report.ts';

export interface RunningWork {
  readonly workflowId: string;
  /** Workflow type a person starts: backup, restore, recover … */
  readonly type: string;
  readonly startedAt: string;
  readonly summary: string;
  readonly steps: readonly CheckItem[];
}

export interface BoardFacts {
  readonly schemaVersion: 1;
  readonly at: string;
  readonly status: StatusReport;
  readonly runs: readonly RunningWork[];
  readonly incidents: readonly IncidentView[];
  readonly plans: readonly PlanView[];
  /** The newest look at all plans (I11); null when there was none lately. */
  readonly evaluations: EvaluationReport | null;
  readonly drills: readonly Pick<EvidenceEntry, 'id' | 'target' | 'at' | 'status' | 'title'>[];
  /** What could not be asked, in words: never shown as good. */
  readonly unknown: readonly string[];
}

const shown = ['backup', 'restore', 'verify', 'prune', 'drill', 'gameday', 'archive', 'upkeep', 'failover', 'switchover', 'recover'] as const;
const most = 30;

export interface BoardSource {
  readonly loaded: LoadedConfig;
  readonly client: Client;
}

/** Never rejects for one source that does not answer: it is named in `unknown`. */
export async function gatherBoard({ loaded, client }: BoardSource): Promise<BoardFacts> {
  const unknown: string[] = [];
  const or = async <T>(what: string, work: Promise<T>, instead: T): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      unknown.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
      return instead;
    }
  };
  const [status, runs, incidents, evidence, evaluations] = await Promise.all([
    statusReport(loaded),
    or('running work', running(client), []),
    or('incidents', openIncidents(client), []),
    or('evidence', gatherEvidence(loaded, { kind: 'drill', perTarget: 1 }), { evidence: [], problems: [] }),
    Object.keys(loaded.config.plans ?? {}).length === 0 ? undefined : or('plan evaluations', evaluationsIn(client), undefined),
  ]);
  const plans = (await Promise.all(runs.filter(({ type }) => type === 'recover').map(async ({ workflowId }) => queryOr<PlanView>(client, workflowId, 'plan')))).filter((view) => view !== undefined);
  for (const { repository, message } of evidence.problems) unknown.push(`evidence in ${repository}: ${message}`);
  return {
    schemaVersion: 1, at: new Date().toISOString(), status, runs, incidents, plans, unknown, evaluations: evaluations ?? null,
    drills: evidence.evidence.map(({ id, target, at, status: outcome, title }) => ({ id, target, at, status: outcome, title })),
  };
}

async function running(client: Client): Promise<RunningWork[]> {
  const found: Omit<RunningWork, 'steps'>[] = [];
  for await (const one of client.workflow.list({ query: `ExecutionStatus="Running" AND WorkflowType IN (${shown.map((type) => `"${type}"`).join(', ')})`, pageSize: most })) {
    found.push({ workflowId: one.workflowId, type: one.type, startedAt: one.startTime.toISOString(), summary: one.workflowId });
    if (found.length >= most) break;
  }
  return Promise.all(found.map(async (one) => ({ ...one, steps: (await observe(client, one.workflowId).catch(() => undefined))?.steps ?? [] })));
}

/** One gathering at a time, its answer good for a while: many who look cost no more than one. */
export function rememberedBoard(source: BoardSource, ms: number): () => Promise<BoardFacts> {
  let answer: Promise<BoardFacts> | undefined;
  let at = -Infinity;
  return () => {
    if (answer === undefined || performance.now() - at > ms) {
      at = performance.now();
      answer = gatherBoard(source);
      answer.catch(() => { at = -Infinity; });
    }
    return answer;
  };
}
