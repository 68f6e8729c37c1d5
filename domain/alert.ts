/** An alert, whoever sent it: what a gateway or a monitor tells an incident. JSON-safe, bounded. */
import type { Severity } from './severity.ts';

export const alertTypes = ['service', 'database', 'network', 'storage', 'backup', 'host'] as const;
export type AlertType = (typeof alertTypes)[number];
export type DamageScenario = 'full' | 'data' | 'partial';

export interface AlertCondition {
  readonly metric: string;
  readonly value: number | string | null;
  readonly threshold: number | string | null;
}

/** What a format or a monitor read; rules and defaults are applied to it by {@link decideAlert}. */
export interface RawAlert {
  /** The same for every delivery of the same fact: the sender's own id where it has one. */
  readonly key: string;
  /** The key is made of the content, for the sender gives neither an id nor a time: the same fact has it again when it happens again. */
  readonly ofContent?: true;
  /** The same for firing and resolved of one alert. */
  readonly identity: string;
  readonly status: 'firing' | 'resolved';
  readonly name: string;
  readonly description: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly startsAt: string | null;
  /** First sign that something is wrong, where the sender knows it: an alert starts when it is certain. */
  readonly since?: string;
  readonly severity?: Severity;
  readonly service?: string;
  readonly type?: AlertType;
  readonly conditions: readonly AlertCondition[];
  /** Whether the sender says when it is over. */
  readonly tracks: boolean;
  /** The sender could not observe it: nothing is known to be broken. A plan runs only where a rule names this alert. */
  readonly unobserved?: boolean;
  /** What is done about it already, or that only people can: no plan is chosen by default rules. */
  readonly handled?: { readonly by: 'watch' | 'people'; readonly text: string };
  readonly link?: string;
  /** How the sender measured it, as numbers and words for people. */
  readonly metrics?: Readonly<Record<string, number | string>>;
}

export interface Alert extends RawAlert {
  readonly schemaVersion: 1;
  /** `webhook/<name>`, `monitor/<name>` or `person/<who>`. */
  readonly source: string;
  readonly severity: Severity;
  readonly type: AlertType;
  /** What the incident is about; alerts about the same thing join one incident. */
  readonly service: string;
  readonly target?: string;
  /** Plans the rule names, in order; undefined: no rule named one. */
  readonly plan?: readonly string[];
  readonly plans?: Readonly<Partial<Record<DamageScenario, readonly string[]>>>;
  readonly scenario?: DamageScenario;
  readonly approval?: 'never' | 'always';
}

export interface AlertRule {
  readonly match?: Readonly<Record<string, string>> | undefined;
  readonly plan?: readonly string[] | undefined;
  readonly plans?: Readonly<Partial<Record<DamageScenario, readonly string[] | undefined>>> | undefined;
  readonly scenario?: DamageScenario | undefined;
  readonly target?: string | undefined;
  readonly service?: string | undefined;
  readonly severity?: Severity | undefined;
  readonly type?: AlertType | undefined;
  readonly approval?: 'never' | 'always' | undefined;
  readonly ignore?: boolean | undefined;
}

const own = (record: Readonly<Record<string, string>>, key: string): string | undefined => (Object.hasOwn(record, key) ? record[key] : undefined);

/** `/…/` is a regular expression over the whole value; everything else is compared as it is. */
export function matches(match: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(match).every(([label, wanted]) => {
    const value = own(labels, label);
    if (value === undefined) return false;
    return /^\/.*\/$/.test(wanted) && wanted.length >= 2 ? new RegExp(`^(?:${wanted.slice(1, -1)})$`, 'u').test(value) : value === wanted;
  });
}

/** Words people use for severities. */
export function severityOf(word: string | undefined): Severity | undefined {
  switch (word?.trim().toLowerCase()) {
    case 'critical': case 'fatal': case 'emergency': case 'disaster': case 'p1': case 'sev1': return 'critical';
    case 'high': case 'error': case 'major': case 'page': case 'p2': case 'sev2': return 'high';
    case 'medium': case 'warning': case 'warn': case 'minor': case 'average': case 'p3': case 'sev3': return 'medium';
    case 'low': case 'info': case 'information': case 'notice': case 'p4': case 'p5': case 'sev4': return 'low';
    default: return undefined;
  }
}

const typeOf = (word: string | undefined): AlertType | undefined => alertTypes.find((type) => type === word?.toLowerCase());

/** The alert as an incident takes it, or undefined when a rule says to ignore it. Labels `name` and `status` can be matched too. */
export function decideAlert(raw: RawAlert, source: string, rules: readonly AlertRule[]): Alert | undefined {
  const labels = { ...raw.labels, alertname: raw.labels['alertname'] ?? raw.name, ...(raw.service === undefined ? {} : { service: raw.service }) };
  const rule = rules.find((candidate) => matches(candidate.match ?? {}, labels));
  if (rule?.ignore === true) return undefined;
  // A rule that asks for the service alone does not mean "when nobody can see it".
  const runs = raw.unobserved !== true || Object.hasOwn(rule?.match ?? {}, 'alertname');
  const service = rule?.service ?? raw.service ?? own(labels, 'service') ?? own(labels, 'job') ?? own(labels, 'app') ?? rule?.target ?? raw.name;
  const severity = rule?.severity ?? raw.severity ?? severityOf(own(labels, 'severity') ?? own(labels, 'priority')) ?? 'high';
  const plans = rule?.plans === undefined || !runs ? undefined : Object.fromEntries(Object.entries(rule.plans).flatMap(([scenario, names]) => (names === undefined ? [] : [[scenario, names]])));
  return {
    ...raw,
    schemaVersion: 1,
    source,
    severity,
    type: rule?.type ?? raw.type ?? typeOf(own(labels, 'type')) ?? 'service',
    service,
    ...(rule?.target === undefined ? {} : { target: rule.target }),
    ...(rule?.plan === undefined || !runs ? {} : { plan: rule.plan }),
    ...(plans === undefined ? {} : { plans }),
    ...(rule?.scenario === undefined ? {} : { scenario: rule.scenario }),
    ...(rule?.approval === undefined ? {} : { approval: rule.approval }),
  };
}

/** Alerts about the same thing join one incident: a target where one is known, else the service. */
export const groupOf = (alert: Pick<Alert, 'service' | 'target'>): string => alert.target ?? alert.service;
