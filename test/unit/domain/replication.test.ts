/** P2: how far a standby is behind, and what is done about it. */
import { describe, expect, test } from 'vitest';
import type { MemberState } from '../../../domain/cluster.ts';
import { addSample, automaticRefusal, chooseRepair, lagMs, parseSynchronous, standbyReports, type LagSample, type RepairScene, type StandbyReport } from '../../../domain/replication.ts';

const limits = { maxLagMs: 30_000, criticalLagMs: 300_000, maxLagBytes: null, criticalLagBytes: null };
const standby = (name: string, more: Partial<StandbyReport> = {}): StandbyReport => ({ name, state: 'streaming', lagBytes: 0, lagMs: 0, synchronous: false, slot: null, detail: 'streams', ...more });
const scene = (reports: StandbyReport[], more: Partial<RepairScene> = {}): RepairScene => ({
  reports, limits, now: 1_000_000, enabled: true, busy: false, lostSince: {}, criticalLooks: {}, lostAfterMs: 60_000, cooldownMs: 900_000, repairs: {}, untouchable: [], ...more,
});
const late = (name: string): StandbyReport => standby(name, { lagMs: 400_000, lagBytes: 5_000_000 });

describe('P2 lag in seconds', () => {
  const samples: LagSample[] = [[1000, '0/100'], [2000, '0/200'], [3000, '0/300']];
  test('counts since the primary had what the standby lacks', () => {
    expect(lagMs(samples, '0/300', 9000)).toBe(0);
    expect(lagMs(samples, '0/250', 9000)).toBe(6000);
    expect(lagMs(samples, '0/100', 9000)).toBe(7000);
  });
  test('an idle primary makes nobody late, however old the last transaction is', () => {
    expect(lagMs(samples, '0/300', 9_000_000, 8_000_000)).toBe(0);
    // It wrote a moment ago, after an hour of silence: not an hour behind.
    expect(lagMs([[0, '0/100'], [3_600_000, '0/200']], '0/100', 3_600_500, 3_600_400)).toBeLessThanOrEqual(3_600_500);
    expect(lagMs([[3_599_000, '0/100'], [3_600_000, '0/200']], '0/100', 3_600_500, 3_600_400)).toBe(1500);
  });
  test('samples of an idle primary are not kept twice, and those of another timeline not at all', () => {
    expect(addSample(samples, [4000, '0/300'])).toEqual(samples);
    expect(addSample(samples, [4000, '0/50'])).toEqual([[4000, '0/50']]);
    let many: LagSample[] = [];
    for (let i = 1; i < 2000; i++) many = addSample(many, [i, `0/${i.toString(16)}`]);
    expect(many.length).toBeLessThanOrEqual(240);
    expect(many.at(-1)?.[0]).toBe(1999);
  });
});

describe('P2 what the primary and the standbys say, put together', () => {
  const primary: MemberState = { name: 'a', role: 'primary', systemId: '1', timeline: 3, lsn: '0/300' };
  const known = [{ name: 'a', slot: 'resurgo_a' }, { name: 'b', slot: 'resurgo_b' }];
  test('one that answers here is not lost because its primary does not list it, nor the other way round', () => {
    const b: MemberState = { name: 'b', role: null, silence: 'refused', problem: 'refused' };
    const [seen] = standbyReports([primary, b], known, { senders: [{ name: 'b', state: 'streaming', replayed: '0/200', sync: 'sync', slot: null }], slots: [] }, [[0, '0/300']], 5000);
    expect(seen).toMatchObject({ state: 'streaming', lagBytes: 256, lagMs: 5000, synchronous: true });
    expect(standbyReports([primary, b], known, { senders: [], slots: [{ name: 'resurgo_b', active: false, status: 'lost', retainedBytes: 7 }] }, [], 0)[0]).toMatchObject({ state: 'silent', detail: expect.stringContaining('for good') as string });
  });
  test('a standby of another timeline receives nothing, and its numbers compare nothing', () => {
    const b: MemberState = { name: 'b', role: 'standby', timeline: 2, lsn: '0/500', replayedLsn: '0/500' };
    expect(standbyReports([primary, b], known, { senders: [], slots: [] }, [], 0)[0]).toMatchObject({ state: 'detached', lagBytes: null, lagMs: null });
  });
});

describe('P2 which standby is repaired', () => {
  test('nobody while all is well, and nobody for one late look', () => {
    expect(chooseRepair(scene([standby('b'), standby('c')]))).toBeUndefined();
    expect(chooseRepair(scene([late('b'), standby('c')], { criticalLooks: { b: 1 } }))).toBeUndefined();
  });
  test('a late one is rebuilt while another is healthy; the last that could be promoted is kept', () => {
    expect(chooseRepair(scene([late('b'), standby('c')], { criticalLooks: { b: 2 } }))).toMatchObject({ member: 'b', by: 'rebuild' });
    expect(chooseRepair(scene([late('b')], { criticalLooks: { b: 2 } }))).toMatchObject({ member: 'b', refused: expect.stringContaining('kept') as string });
    expect(chooseRepair(scene([late('b'), late('c')], { criticalLooks: { b: 2, c: 2 } }))).toHaveProperty('refused');
    expect(chooseRepair(scene([late('b'), standby('c', { state: 'silent' })], { criticalLooks: { b: 2 } }))).toHaveProperty('refused');
  });
  test('a lost one is started again, then rebuilt, then left to people for a while', () => {
    const lost = standby('b', { state: 'silent', lagMs: null, lagBytes: null });
    const since = { lostSince: { b: 900_000 } };
    expect(chooseRepair(scene([lost], { lostSince: { b: 990_000 } }))).toBeUndefined();
    expect(chooseRepair(scene([lost], since))).toMatchObject({ by: 'reattach' });
    const tried = { by: 'reattach', at: 950_000, run: 'r', outcome: 'no', ok: false, rebuiltAt: null } as const;
    expect(chooseRepair(scene([lost], { ...since, repairs: { b: tried } }))).toMatchObject({ by: 'rebuild' });
    for (const by of ['rebuild', 'reattach'] as const) expect(chooseRepair(scene([lost], { ...since, repairs: { b: { ...tried, by, rebuiltAt: 940_000 } } }))).toHaveProperty('refused');
    expect(chooseRepair(scene([lost], { ...since, repairs: { b: { ...tried, by: 'rebuild', rebuiltAt: 50_000 } } }))).toMatchObject({ by: 'reattach' });
    // It was rebuilt well and died again.
    expect(chooseRepair(scene([lost], { ...since, repairs: { b: { ...tried, at: 890_000, by: 'rebuild', ok: true, rebuiltAt: 890_000 } } }))).toMatchObject({ by: 'reattach' });
    expect(chooseRepair(scene([lost], { lostSince: { b: 900_000 }, repairs: { b: { ...tried, at: 890_000 } } }))).toMatchObject({ by: 'reattach' });
    // It lacks WAL for good: starting it helps nothing.
    expect(chooseRepair(scene([{ ...lost, slot: { name: 's', active: false, status: 'lost', retainedBytes: null } }], since))).toMatchObject({ by: 'rebuild' });
    // One that answers and receives nothing could still be promoted.
    expect(chooseRepair(scene([standby('b', { state: 'detached' })], { ...since, repairs: { b: tried } }))).toHaveProperty('refused');
    expect(chooseRepair(scene([standby('b', { state: 'detached' }), standby('c')], { ...since, repairs: { b: tried } }))).toMatchObject({ by: 'rebuild' });
  });
  test('not while something is at work, switched off, or it may not be touched', () => {
    const due = { criticalLooks: { b: 2 } };
    for (const more of [{ busy: true }, { enabled: false }, { untouchable: ['b'] }]) expect(chooseRepair(scene([late('b'), standby('c')], { ...due, ...more }))).toHaveProperty('refused');
  });
});

describe('P3 what a machine must not decide', () => {
  const view = (members: MemberState[]) => ({ members, rounds: 3, observedMs: 1500, silentRounds: {} });
  const dead: MemberState = { name: 'a', role: null, silence: 'refused', problem: 'refused' };
  const b: MemberState = { name: 'b', role: 'standby', systemId: '1', timeline: 1, lsn: '0/1' };
  const options = { hangTimeoutMs: 35_000, primary: 'a', synchronous: null };
  test('a dead primary is failed over from', () => {
    expect(automaticRefusal(view([dead, b]), options)).toBeUndefined();
  });
  test('not while a standby is still connected to it and may have heard from it', () => {
    const connected = { ...b, receiver: { status: 'streaming', senderHost: 'x', senderPort: 1, slot: null, silentMs: 20_000 } };
    expect(automaticRefusal(view([dead, connected]), options)).toMatchObject({ code: 'primaryAlive' });
    expect(automaticRefusal(view([{ ...dead, silence: 'timeout' }, { ...connected, receiver: { ...connected.receiver, silentMs: 36_000 } }]), options)).toBeUndefined();
  });
  test('not when what was acknowledged may be on a standby that is silent too', () => {
    const c: MemberState = { name: 'c', role: null, silence: 'refused', problem: 'refused' };
    expect(automaticRefusal(view([dead, b, c]), options)).toBeUndefined();
    expect(automaticRefusal(view([dead, b, c]), { ...options, synchronous: { need: 1, names: ['b', 'c'] } })).toMatchObject({ code: 'noStandby' });
    expect(automaticRefusal(view([dead, b, c]), { ...options, synchronous: { need: 2, names: ['b', 'c'] } })).toBeUndefined();
  });
  test('two primaries stop everything', () => {
    expect(automaticRefusal(view([{ ...b, name: 'a', role: 'primary' }, { ...b, role: 'primary', timeline: 2 }]), options)).toMatchObject({ code: 'splitBrain' });
  });
  test.each([['', null], ['b', { need: 1, names: ['b'] }], ['a, "b c"', { need: 1, names: ['a', 'b c'] }], ['FIRST 2 (a, b, c)', { need: 2, names: ['a', 'b', 'c'] }], ['any 1 (a,b)', { need: 1, names: ['a', 'b'] }], ['2 (x)', { need: 2, names: ['x'] }], ['*', { need: 1, names: ['*'] }]] as const)('synchronous_standby_names %j', (setting, want) => {
    expect(parseSynchronous(setting)).toEqual(want);
  });
});
