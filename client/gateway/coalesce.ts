/** What arrives for an incident while Temporal is being asked about it goes together in the next call. */
import type { Alert } from '../../domain/alert.ts';
import { maxBatch, type Submit } from './submit.ts';

interface Waiting {
  readonly alerts: readonly Alert[];
  readonly accepted: () => void;
  readonly refused: (reason: unknown) => void;
}

/**
 * Temporal takes the signals of one workflow one after another: in a storm each delivery would wait for all before it. So one call per incident is under way
 * at a time, and the next carries everything that came meanwhile, each alert once. A delivery is accepted when the call that carries its alerts was.
 */
export function coalesced(submit: Submit): Submit {
  const queues = new Map<string, Waiting[]>();

  const drain = async (workflowId: string, queue: Waiting[]): Promise<void> => {
    while (queue.length > 0) {
      const batch = takeBatch(queue);
      const alerts = withoutRepeats(batch.flatMap((each) => each.alerts));
      try {
        await submit({ workflowId, alerts });
        for (const { accepted } of batch) accepted();
      } catch (error) {
        for (const { refused } of batch) refused(error);
      }
    }
    queues.delete(workflowId);
  };

  return ({ workflowId, alerts }) =>
    new Promise((accepted, refused) => {
      const waiting = { alerts, accepted, refused };
      const queue = queues.get(workflowId);
      if (queue !== undefined) return void queue.push(waiting);
      const own = [waiting];
      queues.set(workflowId, own);
      void drain(workflowId, own);
    });
}

/** An alert repeated by its sender has the same key; one that came again after its end is no repeat. */
function withoutRepeats(alerts: readonly Alert[]): Alert[] {
  const last = new Map<string, string>();
  return alerts.filter(({ identity, key }) => {
    const repeated = last.get(identity) === key;
    last.set(identity, key);
    return !repeated;
  });
}

/** As many deliveries from the front as one signal may carry; at least one. */
function takeBatch(queue: Waiting[]): Waiting[] {
  let alerts = 0;
  let deliveries = 0;
  for (const each of queue) {
    alerts += each.alerts.length;
    if (deliveries > 0 && alerts > maxBatch) break;
    deliveries += 1;
  }
  return queue.splice(0, deliveries);
}
