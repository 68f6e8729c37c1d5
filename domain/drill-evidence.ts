/** The record of a drill for people, made from its result. Pure. */
import type { DrillResult } from './drill.ts';
import type { EvidenceDocument, JsonValue } from './evidence.ts';

export interface DrillBackground {
  readonly startedBy: string;
  readonly host: string;
  readonly repositories: readonly string[];
  readonly chain: readonly string[];
  readonly bytes: number | null;
  readonly files: number | null;
  readonly serverVersion: string;
  readonly sourceReachable: boolean | null;
}

export function drillDocument(result: Omit<DrillResult, 'evidence' | 'proven'>, background: DrillBackground): EvidenceDocument {
  const { rto } = result;
  const outcome = result.status === 'passed' ? 'passed' : result.error !== undefined ? 'failed' : result.missed.length > 0 ? `missed its ${result.missed.map((each) => each.toUpperCase()).join(' and ')}` : 'failed its checks';
  return {
    schemaVersion: 1,
    kind: 'drill',
    id: result.id,
    target: result.target,
    at: result.endedAt,
    title: `Restore drill of ${result.target} ${outcome}`,
    status: result.status,
    objectives: { ...result.objectives },
    measured: { rtoMs: result.rtoMs, rpoMs: result.rpoMs, ...(result.dataLossRatio === null ? {} : { dataLossRatio: result.dataLossRatio }) },
    timeline: result.phases,
    checks: result.checks,
    recommendations: result.recommendations,
    facts: {
      backup: result.backup,
      chain: background.chain,
      repositories: background.repositories,
      engine: result.engine,
      recoveredTo: result.recoveredTo,
      rpoBasis: result.rpoBasis,
      ...(rto === null ? {} : { recoveryTime: { detectMs: rto.detect, decideMs: rto.decide, fetchMs: rto.fetch, restoreMs: rto.restore, verifyMs: rto.verify } }),
      checklist: result.checklist as unknown as JsonValue,
      ...(result.performance.length === 0 ? {} : { performance: result.performance as unknown as JsonValue }),
      bytes: background.bytes,
      files: background.files,
      server: background.serverVersion === '' ? undefined : background.serverVersion,
      sourceReachable: background.sourceReachable,
      startedBy: background.startedBy,
      host: background.host,
      cleanedUp: result.cleanedUp,
      ...(result.warnings.length === 0 ? {} : { warnings: result.warnings }),
      ...(result.error === undefined ? {} : { error: { code: result.error.code, message: result.error.message } }),
    },
  };
}
