import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newestEvaluations } from '../../../client/plan/evaluations.ts';
import { storeEvaluations } from '../../../activities/plan/evaluate.ts';
import type { EvaluationReport } from '../../../domain/plan/evaluation.ts';

let dir: string;
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'evaluations-')); });
afterEach(() => { rmSync(dir, { recursive: true, force: true }); });

const report = (at: string): EvaluationReport => ({ schemaVersion: 1, at, plans: [] });
const temporal = (found: EvaluationReport | undefined): Client => ({ workflow: {
  async *list() { if (found !== undefined) yield { workflowId: 'evaluate-plans', runId: 'r' }; },
  getHandle: (workflowId: string, runId: string) => ({ result: async () => (workflowId === 'evaluate-plans' && runId === 'r' ? found : undefined) }),
} }) as unknown as Client;

test('I11 the newer look counts, wherever it was made; without Temporal what this host knows', async () => {
  expect(await newestEvaluations(dir, temporal(undefined))).toBeUndefined();
  expect(await newestEvaluations(dir, temporal(report('2026-11-26T02:00:00Z')))).toMatchObject({ at: '2026-11-26T02:00:00Z' });
  await storeEvaluations(dir, report('2026-11-26T01:00:00Z'));
  expect(await newestEvaluations(dir, temporal(report('2026-11-26T02:00:00Z')))).toMatchObject({ at: '2026-11-26T02:00:00Z' });
  await storeEvaluations(dir, report('2026-11-26T03:00:00Z'));
  expect(await newestEvaluations(dir, temporal(report('2026-11-26T02:00:00Z')))).toMatchObject({ at: '2026-11-26T03:00:00Z' });
  expect(await newestEvaluations(dir, undefined)).toMatchObject({ at: '2026-11-26T03:00:00Z' });
  const dead = { workflow: { list: () => { throw new Error('no server'); } } } as unknown as Client;
  expect(await newestEvaluations(dir, dead)).toMatchObject({ at: '2026-11-26T03:00:00Z' });
});
