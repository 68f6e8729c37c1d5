/** The trend of a target's drills, from their evidence. */
import type { EvidenceDocument, JsonValue } from '../domain/evidence.ts';
import type { LoadedConfig } from '../config/load.ts';
import { gatherEvidence } from './evidence.ts';

export interface DrillHistoryEntry {
  readonly id: string;
  readonly at: string;
  readonly status: string;
  readonly backup: string | null;
  readonly rtoMs: number | null;
  readonly rpoMs: number | null;
  readonly objectives: Readonly<Record<string, number>>;
  readonly dataLossRatio: number | null;
  readonly checks: { readonly passed: number; readonly failed: number; readonly warnings: number };
  readonly performance: readonly { readonly name: string; readonly p50Ms: number; readonly p95Ms: number; readonly p99Ms: number }[];
}

export interface DrillHistory {
  readonly schemaVersion: 1;
  readonly target: string;
  /** Newest first. */
  readonly drills: readonly DrillHistoryEntry[];
  readonly passed: number;
  readonly failed: number;
  readonly problems: readonly { readonly repository: string; readonly message: string }[];
}

/** Only documents whose signature is good; others are named under `problems`. */
export async function drillHistory(loaded: LoadedConfig, target: string, limit: number): Promise<DrillHistory> {
  const { evidence, problems } = await gatherEvidence(loaded, { kind: 'drill', target, limit });
  const drills = evidence.map(({ document }) => entryOf(document));
  const passed = drills.filter((drill) => drill.status === 'passed').length;
  return { schemaVersion: 1, target, drills, passed, failed: drills.length - passed, problems: problems.map(({ repository, message }) => ({ repository, message })) };
}

function entryOf(document: EvidenceDocument): DrillHistoryEntry {
  const count = (outcome: string): number => document.checks.filter((check) => check.outcome === outcome).length;
  const { backup, performance } = document.facts;
  return {
    id: document.id,
    at: document.at,
    status: document.status,
    backup: typeof backup === 'string' ? backup : null,
    rtoMs: document.measured['rtoMs'] ?? null,
    rpoMs: document.measured['rpoMs'] ?? null,
    objectives: document.objectives,
    dataLossRatio: document.measured['dataLossRatio'] ?? null,
    checks: { passed: count('passed'), failed: count('failed'), warnings: count('warning') },
    performance: Array.isArray(performance) ? performance.flatMap(measured) : [],
  };
}

function measured(value: JsonValue): DrillHistoryEntry['performance'][number][] {
  const { name, p50Ms, p95Ms, p99Ms } = value as Record<string, unknown>;
  return typeof name === 'string' && typeof p50Ms === 'number' && typeof p95Ms === 'number' && typeof p99Ms === 'number' ? [{ name, p50Ms, p95Ms, p99Ms }] : [];
}
