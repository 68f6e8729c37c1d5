import { conditionOf, type SnapshotFacts } from '../../domain/rds.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { AwsPlace } from '../aws/client-options.ts';
import { waitUntil } from '../aws/wait.ts';
import { ownerTag, Rds, type RdsDatabase, type RdsKind, type RdsSnapshot } from './rds-database.ts';

export interface CopyTo extends AwsPlace {
  readonly kmsKeyId?: string | undefined;
}

export interface TakeSnapshotOptions {
  readonly place: AwsPlace;
  readonly kind: RdsKind;
  readonly identifier: string;
  readonly snapshot: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly copies: readonly CopyTo[];
  /** For each wait. */
  readonly deadlineMs: number;
  readonly pollMs?: number;
  readonly signal?: AbortSignal;
  readonly onState?: (state: string) => void;
}

/** @throws sourceUnreachable when there is no such database */
export async function findDatabase(rds: Rds, kind: RdsKind, identifier: string): Promise<RdsDatabase> {
  const found = await rds.database(kind, identifier);
  if (found === undefined) throw new ResurgoError('configInvalid', `there is no RDS ${kind} ${identifier} in ${rds.region}`);
  return found;
}

/**
 * Makes the snapshot, waits, and copies it to other regions. Idempotency: what is there under the same identifier is waited for, never made twice.
 * A database that works on itself (backing up, modifying, in maintenance) is waited for. @throws awsFailed when a snapshot fails, awsTimeout
 */
export async function takeSnapshot(options: TakeSnapshotOptions): Promise<{ readonly database: RdsDatabase; readonly snapshots: SnapshotFacts[]; readonly at: string }> {
  const { kind, identifier, snapshot, signal } = options;
  const tags = Object.entries({ [ownerTag]: 'backup', ...options.tags }).map(([Key, Value]) => ({ Key, Value }));
  const rds = await Rds.open(options.place);
  try {
    const patience = { deadlineMs: options.deadlineMs, ...(options.pollMs === undefined ? {} : { firstMs: options.pollMs, mostMs: options.pollMs }), ...(signal === undefined ? {} : { signal }), ...(options.onState === undefined ? {} : { onState: options.onState }) };
    const database = await findDatabase(rds, kind, identifier);
    if ((await rds.snapshot(kind, snapshot)) === undefined) {
      await waitUntil(async () => {
        const { status } = await findDatabase(rds, kind, identifier);
        const condition = conditionOf(status);
        if (condition === 'stopped' || condition === 'failed') throw new ResurgoError('awsFailed', `RDS ${kind} ${identifier} is ${status}: no snapshot can be taken`);
        return { state: `${identifier} ${status}`, ...(condition === 'available' ? { done: true } : {}) };
      }, { ...patience, what: `RDS ${kind} ${identifier}` });
      await rds.createSnapshot(kind, identifier, snapshot, tags);
    }
    const first = await available(rds, kind, snapshot, patience);
    const facts = [factsOf(rds, first)];
    for (const copy of options.copies) {
      const there = await Rds.open(copy);
      try {
        if ((await there.snapshot(kind, snapshot)) === undefined) await there.copySnapshot(kind, first, snapshot, tags, copy.kmsKeyId);
        facts.push(factsOf(there, await available(there, kind, snapshot, patience)));
      } finally {
        there.close();
      }
    }
    return { database, snapshots: facts, at: first.at ?? new Date().toISOString() };
  } finally {
    rds.close();
  }
}

const factsOf = (rds: Rds, { arn, identifier, encrypted }: RdsSnapshot): SnapshotFacts => ({ region: rds.region, arn, identifier, encrypted });

type Patience = Omit<Parameters<typeof waitUntil>[1], 'what'>;

const available = (rds: Rds, kind: RdsKind, identifier: string, patience: Patience): Promise<RdsSnapshot> =>
  waitUntil(async () => {
    const found = await rds.snapshot(kind, identifier);
    if (found === undefined) throw new ResurgoError('awsFailed', `snapshot ${identifier} is gone from ${rds.region}`);
    if (found.status === 'available') return { state: 'available', done: found };
    if (!['creating', 'copying', 'pending'].includes(found.status)) throw new ResurgoError('awsFailed', `snapshot ${identifier} in ${rds.region} is ${found.status}`);
    return { state: `snapshot in ${rds.region} ${found.status} ${String(found.percent)} %` };
  }, { ...patience, what: `snapshot ${identifier} in ${rds.region}` });

/** Removes every snapshot of a backup, copies first. Effect: gone. */
export async function removeSnapshots(kind: RdsKind, identifier: string, places: readonly AwsPlace[]): Promise<void> {
  for (const place of [...places].reverse()) {
    const rds = await Rds.open(place);
    try {
      await rds.deleteSnapshot(kind, identifier);
    } finally {
      rds.close();
    }
  }
}
