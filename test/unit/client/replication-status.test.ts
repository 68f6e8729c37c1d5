/** P2 O2 O3: what status, board and metrics say of replication. */
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import type { BoardFacts } from '../../../client/gateway/board/facts.ts';
import { healthMetrics } from '../../../client/gateway/board/metrics.ts';
import { boardBody } from '../../../client/gateway/board/page.ts';
import { lagText, replicationProblems, replicationStatus, type ReplicationStatus } from '../../../client/status/replication.ts';
import type { ClusterReport } from '../../../domain/replication.ts';

const now = Date.parse('2026-11-26T12:00:00Z');
const report = (more: Partial<ClusterReport> = {}): ClusterReport => ({
  target: 'shop', at: '2026-11-26T11:59:50Z', primary: 'a', timeline: 3, state: 'ok', detail: '', automatic: true, fired: {}, samples: [], repairs: {}, failover: null,
  standbys: [
    { name: 'b', state: 'streaming', lagBytes: 2048, lagMs: 1500, synchronous: true, slot: { name: 's', active: true, status: 'reserved', retainedBytes: 4096 }, detail: 'streams' },
    { name: 'c', state: 'silent', lagBytes: null, lagMs: null, synchronous: false, slot: null, detail: 'refused' },
  ], ...more,
});
const problems = (more: Partial<ClusterReport> = {}, at = now) => replicationProblems(replicationStatus(report(more)), at).map(({ severity, message }) => `${severity}: ${message}`);

describe('P2 replication in the status', () => {
  test('good is only what a living watch says is good', () => {
    expect(problems()).toEqual([]);
    expect(replicationProblems(null, now)).toMatchObject([{ severity: 'warning', message: expect.stringContaining('nobody watches') as string }]);
    expect(problems({}, now + 10 * 60_000)).toEqual([expect.stringContaining('last looked at')]);
    expect(problems({ state: 'unknown', detail: 'x' })).toEqual(['warning: its replication is not known: x']);
    expect(problems({ state: 'degraded', detail: 'b is 40 s behind' })).toEqual(['warning: b is 40 s behind']);
  });
  test('no primary, or two, misses an objective', () => {
    expect(problems({ state: 'stopped', detail: 'a and b' })).toEqual(['objective: two primaries are suspected: a and b']);
    expect(problems({ state: 'no primary', detail: 'a is dead' })).toEqual(['objective: it has no primary: a is dead']);
  });
  test('lag in words, on the board and as metrics; what is not known has none', async () => {
    const replication: ReplicationStatus = replicationStatus(report());
    expect(lagText(replication)).toBe('b 1.5 s (2.00 KiB), c silent');
    const facts: BoardFacts = {
      schemaVersion: 1, at: '2026-11-26T12:00:00Z', runs: [], incidents: [], plans: [], drills: [], unknown: [], evaluations: null,
      status: { schemaVersion: 1, at: '2026-11-26T12:00:00Z', incidents: [], repositories: [], pings: [], temporal: { reachable: true }, targets: [{ name: 'shop', rpoMs: 1, objectives: { rpoMs: 2 }, newestVerifiedBackup: null, newest: null, lastDrill: null, schedules: null, problems: [], health: [], replication }] },
    } as unknown as BoardFacts;
    expect(boardBody(facts)).toContain('primary a; standbys: b 1.5 s (2.00 KiB), c silent');
    const registry = new Registry();
    healthMetrics(registry)(facts);
    const text = await registry.metrics();
    for (const line of ['resurgo_replication_lag_bytes{target="shop",standby="b"} 2048', 'resurgo_replication_lag_seconds{target="shop",standby="b"} 1.5', 'resurgo_replication_streaming{target="shop",standby="c"} 0', 'resurgo_replication_slot_retained_bytes{target="shop",standby="b"} 4096', 'resurgo_replication_primary_up{target="shop"} 1']) expect(text).toContain(line);
    expect(text).not.toContain('lag_seconds{target="shop",standby="c"}');
  });
});
