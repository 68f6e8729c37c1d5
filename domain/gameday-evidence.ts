/** What a game day recommends, and its record for people. Pure. */
import type { GroupedCheck, RpoResult } from './drill.ts';
import type { EvidenceDocument, JsonValue } from './evidence.ts';
import { formatDuration } from './format.ts';
import { describeDisaster, type GameDayResult, type GameDayStep } from './gameday.ts';
import type { PlanResult } from './plan/result.ts';

export interface GameDayFacts {
  readonly objectives: GameDayResult['objectives'];
  readonly rtoMs: number | null;
  readonly rpo: RpoResult | null;
  readonly steps: readonly GameDayStep[];
  readonly checks: readonly GroupedCheck[];
  /** Whether the plan came through. */
  readonly planned: boolean;
  readonly planError: PlanResult['error'];
  readonly planWarnings: readonly string[];
  readonly compensation: PlanResult['compensation'];
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string } | undefined;
  readonly left: string | undefined;
  readonly services: readonly string[];
  readonly hasFunctionChecks: boolean;
  readonly hasMarker: boolean;
}

/** Ordered by weight: what failed first, what was not shown last. */
export function gameDayAdvice(facts: GameDayFacts): string[] {
  const { objectives, rtoMs, rpo, steps, checks, planError } = facts;
  const advice: string[] = [];
  const add = (when: boolean, text: string): void => {
    if (when) advice.push(text);
  };
  if (facts.error !== undefined) advice.push(`The game day did not get through (${facts.error.code}): ${facts.error.message} ${facts.error.hint ?? ''}`.trim());
  if (planError !== undefined && !facts.planned) advice.push(`The plan failed${steps.find((step) => step.status === 'failed') === undefined ? '' : ` at ${steps.find((step) => step.status === 'failed')?.id ?? ''}`}: ${planError.message}${planError.hint === undefined ? '' : ` ${planError.hint}`} Until it comes through, count on doing this by hand.`);
  for (const undone of facts.compensation) add(undone.outcome === 'failed', `What ${undone.step} had done could not be undone: ${undone.detail}.`);
  for (const check of checks) add(check.outcome === 'failed', `"${check.name}" failed after the plan: ${check.detail}.`);
  const unbound = steps.filter((step) => step.way === 'simulated' && step.uses.startsWith('service.')).map(({ id }) => id);
  add(unbound.length > 0 && checks.some((check) => check.name.startsWith('the database answers') && check.outcome === 'failed'), `${unbound.join(', ')}: services were only looked at. When one of them is the database server, name it under \`services\` of the game day.`);
  add(facts.planned && steps.length > 0 && !steps.some((step) => step.way === 'sandbox' && !['wait'].includes(step.uses)), 'No step of the plan did anything to the sandbox: what it would do was not shown at all.');
  add(facts.left !== undefined, `Something was left behind: ${facts.left ?? ''}. The next drill or game day, or a restart of the worker, tries to remove it again.`);
  if (rtoMs !== null) {
    add(rtoMs > objectives.rtoMs, `The plan took ${formatDuration(rtoMs)}, ${formatDuration(objectives.rtoMs)} are allowed.`);
    add(rtoMs <= objectives.rtoMs && rtoMs > objectives.rtoMs * 0.8, `The plan took ${String(Math.round((rtoMs / objectives.rtoMs) * 100))} % of the time that is allowed: growth of the data will miss it soon.`);
  }
  if (rpo?.rpoMs != null && rpo.rpoMs > objectives.rpoMs) advice.push(`${formatDuration(rpo.rpoMs)} of data would have been lost, ${formatDuration(objectives.rpoMs)} are allowed: take backups more often, or archive WAL.`);
  for (const warning of facts.planWarnings) advice.push(`The plan warned: ${warning}.`);
  for (const check of checks) add(check.outcome === 'warning', `${check.name}: ${check.detail}.`);
  const simulated = steps.filter((step) => step.way === 'simulated');
  add(simulated.length > 0, `Only looked at, not done, because it would have reached production: ${simulated.map(({ id, uses }) => `${id} (${uses})`).join(', ')}. That these work was not shown.`);
  const real = steps.filter((step) => step.way === 'real');
  add(real.length > 0, `Really done, because the configuration calls them safe: ${real.map(({ id, uses }) => `${id} (${uses})`).join(', ')}.`);
  add(!facts.hasFunctionChecks, 'No functional check is configured: that the data serves the application was not shown. Add `checks` to the drill of the target.');
  add(!facts.hasMarker && rpo !== null && rpo.basis !== 'none', 'The data loss window comes from times of the backup, not from the data: add a `marker` query to the drill of the target.');
  return [...new Set(advice)];
}

export interface GameDayBackground {
  readonly startedBy: string;
  readonly host: string;
  readonly repositories: readonly string[];
  readonly planHash: string;
  readonly serverVersion: string;
  readonly disasterDetail: string | null;
  readonly plan: PlanResult | undefined;
}

const outcomes: Readonly<Record<string, 'completed' | 'failed' | 'skipped' | 'compensated'>> = { completed: 'completed', failed: 'failed', skipped: 'skipped', compensated: 'compensated' };

export function gameDayDocument(result: Omit<GameDayResult, 'evidence'>, background: GameDayBackground): EvidenceDocument {
  const outcome = result.status === 'passed' ? 'passed' : result.error !== undefined ? 'failed' : result.missed.length > 0 ? `missed its ${result.missed.map((each) => each.toUpperCase()).join(' and ')}` : result.planStatus === 'completed' ? 'failed its checks' : 'failed: the plan did not come through';
  const started = new Map((background.plan?.steps ?? []).map((step) => [step.id, step.startedAt]));
  return {
    schemaVersion: 1,
    kind: 'gameday',
    id: result.id,
    target: result.target,
    at: result.endedAt,
    title: `Game day of plan ${result.plan} on ${result.target} ${outcome}`,
    status: result.status,
    objectives: { ...result.objectives },
    measured: { rtoMs: result.rtoMs, rpoMs: result.rpoMs },
    timeline: [
      ...result.phases.flatMap((phase) => [
        phase,
        ...(phase.phase !== 'run the plan' ? [] : result.steps.flatMap((step) => {
          const startedAt = started.get(step.id);
          return startedAt === undefined ? [] : [{ phase: `${step.id} (${step.uses})${step.way === 'simulated' ? ', simulated' : ''}`, startedAt, durationMs: step.durationMs, outcome: outcomes[step.status] ?? ('unknown' as const), detail: step.detail }];
        })),
      ]),
    ],
    checks: result.checks,
    recommendations: result.recommendations,
    facts: {
      plan: result.plan,
      planStatus: result.planStatus,
      planHash: background.planHash,
      disaster: describeDisaster(result.disaster),
      disasterKind: result.disaster.kind,
      whatHappened: background.disasterDetail,
      backup: result.backup,
      repositories: background.repositories,
      rpoBasis: result.rpoBasis,
      steps: result.steps.map(({ id, uses, way, status, detail }) => ({ id, uses, done: way, status, detail })),
      simulated: result.simulated,
      ...(background.plan === undefined || background.plan.compensation.length === 0 ? {} : { undone: background.plan.compensation.map((each) => ({ ...each })) }),
      checklist: result.checklist as unknown as JsonValue,
      server: background.serverVersion === '' ? undefined : background.serverVersion,
      startedBy: background.startedBy,
      host: background.host,
      cleanedUp: result.cleanedUp,
      ...(result.warnings.length === 0 ? {} : { warnings: result.warnings }),
      ...(result.error === undefined ? {} : { error: { code: result.error.code, message: result.error.message } }),
    },
  };
}
