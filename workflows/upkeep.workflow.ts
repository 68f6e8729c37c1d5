import { isCancellation } from '@temporalio/workflow';
import { lockIds } from '../domain/ids.ts';
import type { UpkeepInput, UpkeepItem, UpkeepReport } from '../domain/operations.ts';
import { heavyOn, lightOn, local } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { runLocked, skipped } from './locked.ts';
import { recorded } from './record-run.ts';
import { describeLoss } from '../domain/wal-scrub.ts';
import { Checklist, searchAttributes } from './progress.ts';
import { readBackAll } from './wal-read-back.ts';

export interface UpkeepOperationInput {
  readonly target: string;
  readonly preview: boolean;
  readonly host: string | null;
  readonly startedBy?: string;
  readonly searchAttributes: boolean;
}

/**
 * Keeps the repositories of a target whole: brings late ones the backups they lack, reads back a share of what they hold, heals damaged copies from
 * good ones. Public: `{"target":"shop"}`. Ids: any; the work runs in the child `upkeep/<target>`, beside backups and restores. Query: `steps`.
 */
export async function upkeep(input: UpkeepInput): Promise<UpkeepReport> {
  try {
    const checked = await local.announceUpkeep(input);
    const work = { target: checked.input.target, preview: checked.input.preview ?? false, host: checked.host, startedBy: checked.input.startedBy ?? 'temporal', searchAttributes: checked.searchAttributes };
    if (work.preview) return await upkeepCopies(work);
    const result = await runLocked<typeof upkeepOperation>('upkeepOperation', [work], { lockId: lockIds.upkeep(work.target), summary: `upkeep of ${work.target}`, onBusy: 'skip' });
    return result === skipped ? { schemaVersion: 1, target: work.target, status: 'skipped', items: [], more: 0, warnings: ['another upkeep of this target was running'] } : result;
  } catch (error) {
    rethrow(error);
  }
}

export async function upkeepOperation(input: UpkeepOperationInput): Promise<UpkeepReport> {
  return recorded({ target: input.target, operation: 'upkeep', host: input.host, startedBy: input.startedBy }, () => upkeepCopies(input), ({ status }) => status === 'done');
}

async function upkeepCopies(input: UpkeepOperationInput): Promise<UpkeepReport> {
  const { target, host } = input;
  const checklist = new Checklist(`Upkeep of ${target}`, ['look at the copies']);
  checklist.enableAttributes(input.searchAttributes);
  checklist.tag([{ key: searchAttributes.target, value: target }, { key: searchAttributes.operation, value: 'upkeep' }]);
  try {
    const plan = await checklist.run('look at the copies', () => lightOn(host, `look at the copies of ${target}`).planUpkeep({ target, now: Date.now() }), (made) => `${String(made.items.length)} to do`);
    const items: UpkeepReport['items'][number][] = [];
    for (const item of plan.items) {
      const name = `${item.action} ${item.name} in ${item.repository}`;
      if (input.preview) {
        items.push({ ...item, outcome: 'planned' });
        continue;
      }
      checklist.set(name, 'in progress', item.why);
      const done = await carryOut(host, target, item);
      checklist.set(name, done.outcome === 'done' ? 'completed' : 'failed', done.detail);
      items.push(done);
    }
    const wal = await readBackAll(host, target, { deep: false, all: false, heal: true, preview: input.preview }, checklist);
    const warnings = [
      ...(wal ?? []).flatMap((one) => [...(one.error === undefined ? [] : [`WAL in ${one.repository}: ${one.error.message}`]), ...one.losses.slice(0, 5).map((loss) => `WAL in ${one.repository}: ${describeLoss(loss)}`)]),
      ...plan.unreachable.map(({ name, message }) => `repository ${name}: ${message}`),
      ...plan.hopeless.slice(0, 20).map(({ backup, repository }) => `backup ${backup} in ${repository} is damaged, and no other repository has it whole`),
      ...items.filter(({ outcome }) => outcome === 'failed' || outcome === 'damaged').slice(0, 20).map(({ action, name, repository, detail }) => `${action} ${name} in ${repository}: ${detail ?? 'failed'}`),
      ...(plan.more > 0 ? [`${String(plan.more)} more are left for the next run`] : []),
    ];
    const incomplete = plan.unreachable.length > 0 || plan.hopeless.length > 0 || items.some(({ outcome }) => outcome === 'failed' || outcome === 'damaged') || (wal ?? []).some((one) => one.status === 'damaged' || one.status === 'unreachable' || one.status === 'unopened');
    return { schemaVersion: 1, target, status: incomplete ? 'incomplete' : input.preview ? 'preview' : 'done', items, more: plan.more, warnings, ...(wal && { wal }) };
  } catch (error) {
    rethrow(error);
  }
}

type Done = UpkeepReport['items'][number];

/** One item; what fails is told and stops no other. */
async function carryOut(host: string | null, target: string, item: UpkeepItem): Promise<Done> {
  const step = { ...item, target };
  const readBack = async (): Promise<{ outcome: Done['outcome']; detail?: string }> => {
    const copy = { id: item.backup, name: item.name, kind: item.kind, systemId: item.systemId, startedAt: item.startedAt, repository: item.repository };
    const result = await heavyOn(host, `read back ${item.name} in ${item.repository}`).verifyCopy({ ...copy, target, deep: false });
    return result.status === 'verified' ? { outcome: 'done' } : { outcome: 'damaged', detail: result.error?.message ?? result.status };
  };
  try {
    if (item.action === 'forget') {
      await lightOn(host, `forget the unfinished ${item.name} in ${item.repository}`).forgetCopy(step);
      return { ...item, outcome: 'done' };
    }
    if (item.action === 'copy') await heavyOn(host, `copy ${item.name} to ${item.repository}`).copyMissing(step);
    if (item.action === 'heal') await heavyOn(host, `heal ${item.name} in ${item.repository}`).healCopy(step);
    return { ...item, ...(await readBack()) };
  } catch (error) {
    if (isCancellation(error)) throw error;
    return { ...item, outcome: 'failed', detail: factsOf(error).message };
  }
}
