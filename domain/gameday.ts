/** Words of game days: a plan is run against a sandbox in which a disaster was made. Pure. */
import type { ExerciseResult } from './drill.ts';
import type { Json, PlanMode } from './plan/model.ts';
import type { PlanStepResult } from './plan/result.ts';

/** What can be made to happen to the sandbox; every one is real: the server is killed, the table is dropped. */
export const disasterKinds = ['server-killed', 'server-stopped', 'data-lost', 'config-broken', 'database-dropped', 'table-dropped', 'rows-deleted', 'data-corrupted'] as const;
export type DisasterKind = (typeof disasterKinds)[number];
/** Those that happen to one table. */
export const tableDisasters: readonly DisasterKind[] = ['table-dropped', 'rows-deleted', 'data-corrupted'];

export interface Disaster {
  readonly kind: DisasterKind;
  /** `schema.table` or `table`. */
  readonly table?: string;
  /** Which rows are deleted; default all. */
  readonly where?: string;
}

export interface GameDayInput {
  readonly schemaVersion?: 1;
  readonly plan: string;
  /** Whose backup the sandbox is made of; default as configured. */
  readonly target?: string;
  /** Default as configured. */
  readonly disaster?: Disaster;
  readonly mode?: PlanMode;
  readonly params?: Readonly<Record<string, Json>>;
  /** Backup id, `latest` (default) or a date. */
  readonly backup?: string;
  readonly startedBy?: string;
}

/**
 * One sandbox, as every activity that works in it is told: an isolated server on a copy of the data, on one host. Without secrets. Whatever a plan does in a
 * game day is bound to it, or only looked at (see activities/gameday).
 */
export interface Sandbox {
  readonly id: string;
  readonly target: string;
  readonly host: string;
  /** Everything of the sandbox lies below, but the socket. */
  readonly root: string;
  readonly dataDir: string;
  /** Directory of its socket. */
  readonly home: string;
  /** State of the runs in it, and what they write to repositories. */
  readonly stateDir: string;
  /** Program that starts and stops its server. */
  readonly control: string;
  readonly superuser: string;
  readonly database: string;
  readonly engine: 'physical' | 'logical';
  /** Names by which the plan's steps call the database server's service. */
  readonly services: readonly string[];
  /** Steps that are really run although they are no part of the database: told so by the configuration. */
  readonly run: readonly string[];
}

/** `sandbox`: really done, in the sandbox; `real`: really done, because the configuration says that it is safe; `simulated`: only looked at. */
export type StepWay = 'sandbox' | 'real' | 'simulated' | 'none';

export interface GameDayStep extends Pick<PlanStepResult, 'id' | 'uses' | 'status' | 'durationMs'> {
  readonly way: StepWay;
  readonly detail: string;
}

/** Its `rtoMs` goes from the disaster to the end of the plan, with the time it takes to notice; null when the plan did not come through. */
export interface GameDayResult extends ExerciseResult {
  readonly plan: string;
  readonly disaster: Disaster;
  readonly planStatus: string | null;
  readonly steps: readonly GameDayStep[];
  readonly simulated: readonly string[];
}

const words: Readonly<Record<DisasterKind, string>> = {
  'server-killed': 'the database server is killed',
  'server-stopped': 'the database server is stopped',
  'data-lost': 'the data directory is lost',
  'config-broken': "the server's configuration is broken",
  'database-dropped': 'the database is dropped',
  'table-dropped': 'a table is dropped',
  'rows-deleted': 'rows are deleted',
  'data-corrupted': 'pages of a table are overwritten',
};

export const describeDisaster = ({ kind, table, where }: Disaster): string => `${words[kind]}${table === undefined ? '' : ` (${table}${where === undefined ? '' : ` where ${where}`})`}`;

/** With these words begins what a step tells that only looked, or that worked outside the sandbox (activities/gameday/actions.ts). */
export const simulatedMark = 'simulated: ';
export const realMark = 'outside the sandbox: ';

export function stepOf(step: PlanStepResult): GameDayStep {
  const told = step.error?.message ?? step.summary ?? step.reason ?? '';
  const way: StepWay =
    step.uses.startsWith('plan ') || step.startedAt === undefined || step.status === 'skipped' ? 'none'
    : told.startsWith(simulatedMark) || step.summary?.startsWith(simulatedMark) === true ? 'simulated'
    : told.startsWith(realMark) || step.summary?.startsWith(realMark) === true ? 'real'
    : 'sandbox';
  const looked = (step.remarks ?? []).filter((remark) => remark.includes(simulatedMark));
  return { id: step.id, uses: step.uses, status: step.status, durationMs: step.durationMs, way, detail: [told, ...looked].filter((text) => text !== '').join('; ') };
}
