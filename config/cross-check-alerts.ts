/** What no single field shows in `notify`, `escalation` and `webhooks`. */
import { show } from './leaf-core.ts';
import { monitorKinds } from './schema-monitors.ts';
import { didYouMean } from './suggest.ts';
import type { ConfigPath } from './yaml-source.ts';
import { has, isMapping, listOf, mappingOf, type Raw } from './raw.ts';

type Report = (at: ConfigPath, message: string, part?: 'key' | 'value') => void;
type CheckReferences = (at: ConfigPath, value: unknown, known: Raw, what: string) => void;

export const channelKinds = ['slack', 'smtp', 'pagerduty', 'webhook'] as const;

export function crossCheckAlerts(root: Raw, report: Report, checkReferences: CheckReferences): void {
  const channels: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [i, value] of listOf(root['notify']).entries()) {
    if (!isMapping(value)) continue;
    const kinds = channelKinds.filter((kind) => has(value, kind));
    const [kind] = kinds;
    if (kind === undefined) report(['notify', i], `has none of ${channelKinds.join(', ')}; give one`, 'key');
    else if (kinds.length > 1) report(['notify', i, kinds[1] as string], `stands beside ${kind}; write two entries, one for each`, 'key');
    const name = has(value, 'name') ? value['name'] : kind;
    if (typeof name !== 'string') continue;
    if (has(channels, name)) report(has(value, 'name') ? ['notify', i, 'name'] : ['notify', i], `there is already a channel ${show(name)}; give this one a name of its own`, has(value, 'name') ? 'value' : 'key');
    channels[name] = value;
    const smtp = mappingOf(value['smtp']);
    if (has(smtp, 'user') !== has(smtp, 'password')) report(['notify', i, 'smtp'], `has ${has(smtp, 'user') ? 'user without password' : 'password without user'}; give both or neither`, 'key');
  }
  for (const [i, value] of listOf(root['escalation']).entries()) checkReferences(['escalation', i, 'notify'], mappingOf(value)['notify'], channels, 'notify channel');
  checkMonitors(root, report);
  const names = new Set<unknown>();
  for (const [i, value] of listOf(root['webhooks']).entries()) {
    if (!isMapping(value)) continue;
    const at = ['webhooks', i];
    if (names.has(value['name'])) report([...at, 'name'], `${show(value['name'])} is there twice; every webhook has its own name`);
    names.add(value['name']);
    checkWebhook(at, value, report);
    for (const [j, rule] of listOf(value['rules']).entries()) checkRule([...at, 'rules', j], mappingOf(rule), root, report);
  }
}

/** Exactly one kind each; thresholds where a kind has none of its own. */
function checkMonitors(root: Raw, report: Report): void {
  const names = new Set<unknown>();
  for (const [i, value] of listOf(root['monitors']).entries()) {
    if (!isMapping(value)) continue;
    const at = ['monitors', i];
    if (names.has(value['name'])) report([...at, 'name'], `${show(value['name'])} is there twice; every monitor has its own name`);
    names.add(value['name']);
    const kinds = monitorKinds.filter((kind) => has(value, kind));
    const [kind] = kinds;
    if (kind === undefined) report(at, `has none of ${monitorKinds.join(', ')}; give one`, 'key');
    else if (kinds.length > 1) report([...at, kinds[1] as string], `stands beside ${kind}; write two monitors`, 'key');
    if ((kind === 'prometheus' || kind === 'cloudwatch') && !has(value, 'above') && !has(value, 'below')) report(at, 'has neither above nor below; from when on is it wrong?', 'key');
    if (has(value, 'path') && value['host'] !== 'disk') report([...at, 'path'], 'is only for host: disk', 'key');
    const rds = value['rds'];
    if (isMapping(rds) && has(rds, 'instance') === has(rds, 'cluster')) report([...at, 'rds'], 'needs either an instance or a cluster', 'key');
    checkRule(at, value, root, report);
  }
}

const signed: readonly unknown[] = ['grafana', 'pagerduty', 'generic'];

function checkWebhook(at: ConfigPath, value: Raw, report: Report): void {
  const { format } = value;
  const isSns = format === 'sns' || format === 'cloudwatch';
  if (isSns && !has(value, 'topics')) report(at, 'has no topics; name the ARNs of the SNS topics it listens to', 'key');
  if (!isSns && has(value, 'topics')) report([...at, 'topics'], 'is only for format: sns', 'key');
  if (has(value, 'hmac') && typeof format === 'string' && !signed.includes(format)) report([...at, 'hmac'], `is not for format: ${format}, which ${isSns ? 'is signed by AWS' : 'signs nothing'}; use token`, 'key');
  if (!isSns && !has(value, 'token') && !has(value, 'hmac'))
    report(at, `has neither ${signed.includes(format) ? 'token nor hmac' : 'a token'}; anybody could start a recovery. Give one by reference`, 'key');
  if (has(value, 'map') && format !== 'generic') report([...at, 'map'], 'is only for format: generic', 'key');
  if (format === 'generic' && !has(mappingOf(value['map']), 'name')) report(at, 'needs map: { name: PATH }, where the name of the alert is in the JSON', 'key');
  for (const key of ['signatureHeader', 'timestampHeader'])
    if (has(value, key) && !has(value, 'hmac')) report([...at, key], 'needs hmac', 'key');
}

/** A rule's plans must exist; its target may be something that is not backed up. Also used for monitors. */
export function checkRule(at: ConfigPath, rule: Raw, root: Raw, report: Report): void {
  if (has(rule, 'plan') && has(rule, 'plans')) report([...at, 'plans'], 'stands beside plan; give one of them', 'key');
  const plans = mappingOf(root['plans']);
  const named = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : value === undefined ? [] : [value]);
  const check = (where: ConfigPath, value: unknown): void => {
    for (const plan of named(value))
      if (typeof plan === 'string' && !has(plans, plan)) report(where, `${show(plan)} is no plan of this configuration${didYouMean(plan, Object.keys(plans)) || ''}`);
  };
  check([...at, 'plan'], rule['plan']);
  for (const [scenario, value] of Object.entries(mappingOf(rule['plans']))) check([...at, 'plans', scenario], value);
}
