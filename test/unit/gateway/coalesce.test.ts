import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { coalesced } from '../../../client/gateway/coalesce.ts';
import type { Submission } from '../../../client/gateway/submit.ts';
import type { Alert } from '../../../domain/alert.ts';

const alert = (key: string): Alert => ({ schemaVersion: 1, key, identity: key, status: 'firing', name: 'Down', description: '', labels: {}, startsAt: null, conditions: [], tracks: true, source: 'webhook/am', severity: 'critical', type: 'service', service: 'api' });

/** A Temporal that answers when it is told to. */
function slow() {
  const calls: { submission: Submission; answer: (error?: Error) => void }[] = [];
  const submit = coalesced((submission) => new Promise((resolve, reject) => calls.push({ submission, answer: (error) => (error === undefined ? resolve() : reject(error)) })));
  return { calls, submit, keys: () => calls.map(({ submission }) => submission.alerts.map(({ key }) => key)) };
}

describe('T3 deliveries of one incident that come together', () => {
  test('go in one call after the one under way, each alert once, and are answered when theirs is accepted', async () => {
    const { calls, submit, keys } = slow();
    const done: string[] = [];
    const send = (name: string, ...alerts: string[]): Promise<void> => submit({ workflowId: 'w', alerts: alerts.map(alert) }).then(() => void done.push(name));
    const all = [send('first', 'a'), send('second', 'a', 'b'), send('third', 'b', 'c')];
    expect(keys()).toEqual([['a']]);
    calls[0]?.answer();
    await turn();
    expect(done).toEqual(['first']);
    expect(keys()).toEqual([['a'], ['a', 'b', 'c']]);
    calls[1]?.answer();
    await Promise.all(all);
    // Nothing is under way any more: the next one goes at once.
    const next = send('fourth', 'd');
    expect(keys()).toHaveLength(3);
    calls[2]?.answer();
    await next;
    expect(done).toEqual(['first', 'second', 'third', 'fourth']);
  });

  test('an end between two alerts of one text is not lost', async () => {
    const { calls, submit } = slow();
    const of = (key: string): Alert => ({ ...alert(key), identity: 'one', ofContent: true });
    const all = [submit({ workflowId: 'w', alerts: [of('x')] }), ...['down', 'down', 'up', 'down'].map((key) => submit({ workflowId: 'w', alerts: [of(key)] }))];
    calls[0]?.answer();
    await turn();
    expect(calls[1]?.submission.alerts.map(({ key }) => key)).toEqual(['down', 'up', 'down']);
    calls[1]?.answer();
    await Promise.all(all);
  });

  test('do not hold up another incident', async () => {
    const { calls, submit } = slow();
    const waiting = submit({ workflowId: 'w', alerts: [alert('a')] });
    const other = submit({ workflowId: 'v', alerts: [alert('a')] });
    expect(calls.map(({ submission }) => submission.workflowId)).toEqual(['w', 'v']);
    calls[1]?.answer();
    await other;
    calls[0]?.answer();
    await waiting;
  });

  test('are refused together when their call fails, and later ones are tried anew', async () => {
    const { calls, submit } = slow();
    const first = submit({ workflowId: 'w', alerts: [alert('a')] });
    const second = submit({ workflowId: 'w', alerts: [alert('b')] });
    const third = submit({ workflowId: 'w', alerts: [alert('c')] });
    calls[0]?.answer();
    await first;
    const refused = Promise.allSettled([second, third]);
    calls[1]?.answer(new Error('away'));
    expect((await refused).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const again = submit({ workflowId: 'w', alerts: [alert('b')] });
    calls[2]?.answer();
    await again;
  });

  test('carry no more than 100 alerts in one call', async () => {
    const { calls, submit, keys } = slow();
    const many = (from: number, count: number): Alert[] => Array.from({ length: count }, (_, i) => alert(String(from + i)));
    const all = [submit({ workflowId: 'w', alerts: [alert('x')] }), submit({ workflowId: 'w', alerts: many(0, 60) }), submit({ workflowId: 'w', alerts: many(60, 40) }), submit({ workflowId: 'w', alerts: many(100, 1) })];
    for (const i of [0, 1, 2]) {
      calls[i]?.answer();
      await turn();
    }
    await Promise.all(all);
    expect(keys().map((each) => each.length)).toEqual([1, 100, 1]);
  });
});
