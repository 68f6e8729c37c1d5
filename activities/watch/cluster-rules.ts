/** When a standby is told about: the rules of monitors, over what the watch of a cluster sees. */
import { startState, step, type MonitorEvent, type Observation, type Rule, type RuleState } from '../../domain/monitor.ts';
import type { StandbyReport } from '../../domain/replication.ts';
import type { ReplicationConfig } from '../../config/schema.ts';

export type StandbyRule = 'streams' | 'lag' | 'lag bytes' | 'critical' | 'critical bytes';

export interface RuleEvent {
  readonly rule: Rule;
  readonly kind: StandbyRule;
  readonly member: string;
  readonly event: MonitorEvent;
  readonly report: StandbyReport;
  readonly firedAt: number;
}

function rulesOf(target: string, member: string, config: ReplicationConfig): { kind: StandbyRule; rule: Rule }[] {
  const common = { recoveries: 2, unknownAfterMs: Math.max(3 * config.every, 30_000) };
  const limit = (kind: StandbyRule, metric: string, above: number | undefined): { kind: StandbyRule; rule: Rule }[] =>
    above === undefined ? [] : [{ kind, rule: { id: `${target}/${member}/${kind}`, metric, severity: kind.startsWith('critical') ? 'high' : 'medium', states: false, above, clear: above / 2, failures: 2, ...common } }];
  return [
    { kind: 'streams', rule: { id: `${target}/${member}/streams`, metric: 'streaming', severity: 'high', states: true, failures: 2, forMs: config.lostAfter, ...common } },
    ...limit('lag', 'replication lag s', config.maxLag / 1000), ...limit('lag bytes', 'replication lag bytes', config.maxLagBytes),
    ...limit('critical', 'replication lag s', config.criticalLag / 1000), ...limit('critical bytes', 'replication lag bytes', config.criticalLagBytes),
  ];
}

export class StandbyRules {
  private readonly held: { readonly member: string; readonly kind: StandbyRule; readonly rule: Rule; state: RuleState }[];

  constructor(target: string, members: readonly string[], config: ReplicationConfig, fired: Readonly<Record<string, number>>) {
    this.held = members.flatMap((member) => rulesOf(target, member, config).map(({ kind, rule }) => ({ member, kind, rule, state: startState(Date.now(), fired[rule.id] ?? null) })));
  }

  /** @param working planned work goes on: nothing begins and nothing ends by this look */
  judge(reports: readonly StandbyReport[], at: number, working: boolean): RuleEvent[] {
    const events: RuleEvent[] = [];
    for (const held of this.held) {
      const report = reports.find(({ name }) => name === held.member);
      if (report === undefined) {
        // It is the primary now: what was wrong with it as a standby is over.
        const { firedAt } = held.state;
        if (firedAt !== null) events.push({ ...held, event: 'resolved', firedAt, report: { name: held.member, state: 'streaming', lagBytes: 0, lagMs: 0, synchronous: false, slot: null, detail: 'it is the primary' } });
        held.state = startState(at);
        continue;
      }
      if (working) continue;
      const before = held.state;
      const { state, event } = step(held.rule, before, { at, ...observation(held.kind, report) });
      held.state = state;
      const firedAt = event === 'firing' ? state.firedAt : before.firedAt;
      if ((event === 'firing' || event === 'resolved') && firedAt !== null) events.push({ ...held, event, report, firedAt });
    }
    return events;
  }

  fired(): Record<string, number> {
    return Object.fromEntries(this.held.flatMap(({ rule, state }) => (state.firedAt === null ? [] : [[rule.id, state.firedAt]])));
  }
}

function observation(kind: StandbyRule, report: StandbyReport): Omit<Observation, 'at'> {
  if (kind === 'streams') return { state: report.state === 'streaming' ? 'ok' : 'bad', value: null, detail: report.detail };
  const value = kind.endsWith('bytes') ? report.lagBytes : report.lagMs === null ? null : report.lagMs / 1000;
  return { state: 'ok', value, detail: report.detail };
}
