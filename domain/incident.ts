/** What an incident knows and how alerts change it. Pure: the workflow brings the time. */
import { alertTypes, type Alert, type AlertCondition, type AlertType, type DamageScenario } from './alert.ts';
import { worst, type Severity } from './severity.ts';

export { alertTypes };
export const incidentWorkflowId = (fingerprint: string): string => `incident/${fingerprint}`;
export const fingerprintIn = (workflowId: string): string => workflowId.replace(/^incident\//, '');

export type IncidentStatus = 'detected' | 'investigating' | 'mitigating' | 'resolved';

export interface TimelineEntry {
  readonly at: string;
  readonly event: string;
  readonly text: string;
}

/** A plan that was run for the incident. */
export interface Attempt {
  readonly plan: string;
  readonly run: string | null;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly status: string;
  readonly detail: string;
  /** Another run of the plan was at it. */
  readonly busy?: true;
}

/** Where the automatic recovery is. It goes on from here after a crash, and after continue-as-new. */
export type Stage = 'decide' | 'approval' | 'start' | 'running' | 'confirm' | 'people' | 'idle';

export type ApprovalWord = 'never' | 'always' | 'default';

export interface IncidentRecord {
  readonly id: string;
  readonly openedAt: string;
  /** First sign of it, where an alert told. */
  since?: string;
  resolvedAt: string | null;
  resolution: string | null;
  type: AlertType;
  severity: Severity;
  status: IncidentStatus;
  service: string;
  target: string | null;
  name: string;
  description: string;
  source: string;
  conditions: AlertCondition[];
  affectedComponents: string[];
  metrics: Record<string, number | string>;
  /** By the sender's identity; what is firing now decides when it is over. */
  alerts: Record<string, { name: string; status: 'firing' | 'resolved'; tracks: boolean; source: string; startsAt: string | null; link: string | null }>;
  timeline: TimelineEntry[];
  stage: Stage;
  /** Plans still to be tried, in order. */
  candidates: string[];
  plans: Partial<Record<DamageScenario, string[]>> | null;
  scenario: DamageScenario | null;
  approvalRule: 'never' | 'always' | null;
  /** By plan: what the rules that name it say of approval; `default` where they say nothing. The strictest holds. Absent in records of older versions. */
  approvalRules?: Record<string, ApprovalWord[]>;
  /** A person wanted these plans run: it counts as an approval where approvals are not proved, and that automatic runs are stopped does not count. */
  retried?: { readonly by: string; readonly plans: readonly string[] } | null;
  attempts: Attempt[];
  running: { plan: string; run: string; startedAt: string } | null;
  /** Who does what about it where no plan is to; absent: plans and rules decide. */
  handled?: { readonly by: 'watch' | 'people'; readonly text: string };
  approval: { plan: string; since: string; until: string; needed: number; by: string[]; hash: string | null } | null;
  confirmUntil: string | null;
  /** How often a plan was put off because another run of it was at work. */
  busyRounds?: number;
  /** Who aborted the automatic recovery. */
  stoppedBy: string | null;
  acknowledged: { by: string; at: string } | null;
  /** Levels of escalation that were told. */
  escalated: number;
  ticketed: boolean;
  messages: number;
  repeats: number;
  damage: DamageReport | null;
  budgets: BudgetReport[];
}

export interface DamagePart {
  readonly part: 'database' | 'storage' | 'network' | 'backups';
  readonly state: 'ok' | 'degraded' | 'damaged' | 'lost' | 'unknown';
  readonly detail: string;
}

export interface DamageReport {
  readonly at: string;
  readonly tookMs: number;
  readonly parts: readonly DamagePart[];
  readonly scenario: DamageScenario;
  readonly why: string;
}

export const budgetPhases = ['assess', 'infrastructure', 'data', 'verify', 'resume'] as const;

export interface BudgetReport {
  readonly phase: (typeof budgetPhases)[number];
  readonly budgetMs: number;
  readonly tookMs: number;
  readonly within: boolean;
}

export interface IncidentSummary {
  readonly id: string;
  readonly severity: Severity;
  readonly openedAt: string;
  readonly resolvedAt: string;
  readonly resolution: string;
  readonly plan: string | null;
}

/** What outlives one incident: goes from run to run of the workflow. */
export interface IncidentState {
  readonly schemaVersion?: 1;
  /** Deliveries taken, by key, with the time in ms: senders repeat for up to 48 h. */
  seen?: Record<string, number>;
  /** When recoveries of this service failed, in ms. */
  failures?: number[];
  /** Automatic runs are stopped until a person re-arms them. */
  disarmed?: boolean;
  cooldownUntil?: number;
  /** Firing alerts that wait for the end of the cool-down. */
  pending?: Alert[];
  previous?: IncidentSummary[];
  current?: IncidentRecord;
}

/** Deliveries are remembered for longer than PagerDuty's 48 h and SNS's hour. */
export const rememberMs = 72 * 3_600_000;
const maxSeen = 5000;
const maxAlerts = 200;
const maxConditions = 50;
const maxTimeline = 300;

export type Memory = Required<Omit<IncidentState, 'current' | 'schemaVersion'>>;

export const memoryOf = (state: IncidentState): Memory => ({
  seen: state.seen ?? {}, failures: state.failures ?? [], disarmed: state.disarmed ?? false, cooldownUntil: state.cooldownUntil ?? 0, pending: state.pending ?? [], previous: state.previous ?? [],
});

/** Key of its end as it stands in `seen`. Where neither an id nor a time tells one time it happens from the next, the end is of all of them. */
const endOf = ({ ofContent, identity, startsAt }: Alert): string | undefined => (ofContent === true ? `end ${identity}` : startsAt === null ? undefined : `end ${identity} ${startsAt}`);

/**
 * Remembers it. False when it was delivered before, or is the late news of something that is over already. What a sender sends without an id or a time of its own
 * is the same text each time it happens: once it has ended, the same text is news.
 */
export function remember(memory: Memory, alert: Alert, now: number): boolean {
  const at = (key: string | undefined): number | undefined => (key !== undefined && Object.hasOwn(memory.seen, key) ? memory.seen[key] : undefined);
  const end = endOf(alert);
  const [last, ended] = [at(alert.key), at(end)];
  memory.seen[alert.key] = now;
  if (alert.status === 'resolved') {
    if (end !== undefined) memory.seen[end] = now;
    return last === undefined || alert.ofContent === true;
  }
  return alert.ofContent === true ? last === undefined || (ended ?? 0) >= last : last === undefined && ended === undefined;
}

/** Forgets what no sender repeats any more, and the oldest where there is too much. */
export function forget(memory: Memory, now: number, windowMs: number): void {
  const entries = Object.entries(memory.seen).filter(([, at]) => now - at < rememberMs);
  entries.sort(([, a], [, b]) => b - a);
  memory.seen = Object.fromEntries(entries.slice(0, maxSeen));
  memory.failures = memory.failures.filter((at) => now - at < windowMs);
}

export function openIncident(fingerprint: string, alert: Alert, now: string): IncidentRecord {
  const record: IncidentRecord = {
    id: `${fingerprint}-${now.replaceAll(/[-:]|\.\d+/g, '')}`,
    openedAt: now,
    resolvedAt: null,
    resolution: null,
    type: alert.type,
    severity: alert.severity,
    status: 'detected',
    service: alert.service,
    target: alert.target ?? null,
    name: alert.name,
    description: alert.description,
    source: alert.source,
    conditions: [],
    affectedComponents: [],
    metrics: {},
    alerts: {},
    timeline: [],
    stage: 'decide',
    candidates: [],
    plans: plansOf(alert),
    scenario: alert.scenario ?? null,
    approvalRule: alert.approval ?? null,
    attempts: [],
    running: null,
    approval: null,
    confirmUntil: null,
    busyRounds: 0,
    stoppedBy: null,
    acknowledged: null,
    escalated: 0,
    ticketed: false,
    messages: 0,
    repeats: 0,
    damage: null,
    budgets: [],
    ...(alert.handled === undefined ? {} : { handled: alert.handled }),
  };
  addTo(record, alert);
  addTimeline(record, now, 'detected', `${alert.source}: ${alert.name}${alert.description === alert.name ? '' : ` (${alert.description.slice(0, 300)})`}`);
  return record;
}

const plansOf = ({ plans }: Alert): IncidentRecord['plans'] => (plans === undefined ? null : Object.fromEntries(Object.entries(plans).map(([scenario, names]) => [scenario, [...names]])));

/** A further alert about the same thing. */
export function joinIncident(record: IncidentRecord, alert: Alert, now: string): void {
  const before = record.severity;
  record.severity = worst(record.severity, alert.severity);
  addTo(record, alert);
  record.target ??= alert.target ?? null;
  record.plans ??= plansOf(alert);
  record.scenario ??= alert.scenario ?? null;
  if (alert.handled !== undefined) record.handled = alert.handled;
  addTimeline(record, now, 'joined', `${alert.source}: ${alert.name}${record.severity === before ? '' : `; severity is now ${record.severity}`}`);
}

function addTo(record: IncidentRecord, alert: Alert): void {
  if (alert.since !== undefined && (record.since === undefined || alert.since < record.since)) record.since = alert.since;
  const known = Object.hasOwn(record.alerts, alert.identity);
  if (known || Object.keys(record.alerts).length < maxAlerts) {
    record.alerts[alert.identity] = { name: alert.name.slice(0, 200), status: 'firing', tracks: alert.tracks, source: alert.source, startsAt: alert.startsAt, link: alert.link?.slice(0, 500) ?? null };
  }
  for (const condition of alert.conditions) {
    const index = record.conditions.findIndex((each) => each.metric === condition.metric);
    if (index >= 0) record.conditions[index] = condition;
    else if (record.conditions.length < maxConditions) record.conditions.push(condition);
    if (condition.value !== null && Object.keys(record.metrics).length < maxConditions) record.metrics[condition.metric] = condition.value;
  }
  for (const [metric, value] of Object.entries(alert.metrics ?? {})) if (Object.keys(record.metrics).length < maxConditions) record.metrics[metric] = value;
  const parts = [alert.service, alert.target, ...['instance', 'pod', 'host', 'component', 'container', 'cluster'].map((label) => (Object.hasOwn(alert.labels, label) ? alert.labels[label] : undefined))];
  for (const part of parts) if (part !== undefined && !record.affectedComponents.includes(part) && record.affectedComponents.length < maxConditions) record.affectedComponents.push(part);
  for (const plan of [...(alert.plan ?? []), ...Object.values(alert.plans ?? {}).flat()]) addRule(record, plan, alert.approval ?? 'default');
  for (const plan of alert.plan ?? []) if (!record.candidates.includes(plan) && !record.attempts.some((attempt) => attempt.plan === plan)) record.candidates.push(plan);
}

function addRule(record: IncidentRecord, plan: string, word: ApprovalWord): void {
  const rules = (record.approvalRules ??= {});
  const said = Object.hasOwn(rules, plan) ? (rules[plan] ?? []) : [];
  if (!said.includes(word)) rules[plan] = [...said, word];
}

/** Whether people have to approve a plan: `standard` is what the configuration says where a rule does not. */
export function needsApproval(record: Pick<IncidentRecord, 'approvalRule' | 'approvalRules' | 'severity'>, plan: string, standard: 'never' | 'always' | 'critical'): boolean {
  const said = record.approvalRules !== undefined && Object.hasOwn(record.approvalRules, plan) ? (record.approvalRules[plan] ?? []) : [];
  const words = said.length > 0 ? said : [record.approvalRule ?? 'default'];
  return words.some((word) => (word === 'default' ? standard === 'always' || (standard === 'critical' && record.severity === 'critical') : word === 'always'));
}

/** @returns whether an alert of this incident ended by it */
export function resolveAlert(record: IncidentRecord, alert: Alert, now: string): boolean {
  const known = Object.hasOwn(record.alerts, alert.identity) ? record.alerts[alert.identity] : undefined;
  if (known?.status !== 'firing') return false;
  record.alerts[alert.identity] = { ...known, status: 'resolved' };
  addTimeline(record, now, 'alert resolved', `${alert.source}: ${alert.name}`);
  return true;
}

export const firing = (record: IncidentRecord): string[] => Object.values(record.alerts).filter((alert) => alert.status === 'firing').map((alert) => alert.name);
/** What still fires and will tell us when it does not. */
export const trackedFiring = (record: IncidentRecord): string[] => Object.values(record.alerts).filter((alert) => alert.status === 'firing' && alert.tracks).map((alert) => alert.name);

/** The beginning of a long story and its newest part stay. */
export function addTimeline(record: IncidentRecord, at: string, event: string, text: string): void {
  record.timeline.push({ at, event, text: text.slice(0, 600) });
  if (record.timeline.length > maxTimeline) record.timeline.splice(50, record.timeline.length - maxTimeline);
}

export const summaryOf = (record: IncidentRecord): IncidentSummary => ({
  id: record.id, severity: record.severity, openedAt: record.openedAt, resolvedAt: record.resolvedAt ?? '', resolution: record.resolution ?? '', plan: record.attempts.at(-1)?.plan ?? null,
});

/** What `resurgo incident show --json` prints. */
export interface IncidentView extends Omit<IncidentRecord, 'alerts' | 'messages' | 'escalated' | 'ticketed' | 'plans' | 'candidates' | 'approvalRule' | 'approvalRules' | 'retried' | 'busyRounds'> {
  readonly schemaVersion: 1;
  readonly workflowId: string;
  readonly alerts: readonly { readonly name: string; readonly status: string; readonly source: string; readonly startsAt: string | null; readonly link: string | null }[];
  readonly next: readonly string[];
  readonly automatic: { readonly armed: boolean; readonly failures: number };
  readonly previous: readonly IncidentSummary[];
}

export function viewOf(record: IncidentRecord, memory: Memory, workflowId: string): IncidentView {
  const { alerts, messages: _m, escalated: _e, ticketed: _t, plans: _p, candidates, approvalRule: _a, approvalRules: _r, retried: _p2, busyRounds: _b, ...rest } = record;
  return {
    schemaVersion: 1,
    workflowId,
    ...rest,
    alerts: Object.values(alerts).map(({ tracks: _, ...alert }) => alert),
    next: candidates,
    automatic: { armed: !memory.disarmed, failures: memory.failures.length },
    previous: memory.previous,
  };
}

/** What a person tells an incident to do. */
export interface PersonInput {
  readonly by: string;
  readonly note?: string;
  /** retry: this plan instead of those that were tried. */
  readonly plan?: string;
  /** approve: the hash of the preview that was looked at, or its beginning. */
  readonly hash?: string;
  /** approve: where the configuration names approvers, made from the approver's token (activities/plan/approval.ts). */
  readonly proof?: string;
}
