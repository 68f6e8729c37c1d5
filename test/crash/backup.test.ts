import { afterAll, beforeAll, describe, test } from 'vitest';
import { startArena, type Arena } from '../support/crash/arena.ts';
import { backupCase, forgetBackups } from '../support/crash/cases.ts';
import { matrixCases, planOf } from '../support/crash/matrix.ts';
import type { Effect } from '../support/crash/plan.ts';

const lanes = 8;
const places = { prepareBackup: 3, dumpBackup: 6, checkRun: 0, storeBackup: 5, verifyBackup: 3, publishBackup: 4, finishBackup: 2 };
const variants = [
  { target: 'physical', kind: 'full' },
  { target: 'physical', kind: 'incremental' },
  { target: 'mixed', kind: 'full' },
  { target: 'logical', kind: 'full' },
  { target: 'spooled', kind: 'full' },
  { target: 'tree', kind: 'full' },
  { target: 'tree', kind: 'incremental' },
  { target: 'bundle', kind: 'full' },
  { target: 'platform', kind: 'incremental' },
] as const;
const nameOf = ({ target, kind }: (typeof variants)[number]): string => `${target} ${kind}`;

let arena: Arena;
let digest: string;
/** What each variant does when nothing goes wrong. */
const plain = new Map<string, Effect[]>();

beforeAll(async () => {
  arena = await startArena({ lanes });
  digest = await arena.digest();
  await arena.inLane(async (lane) => {
    for (const variant of variants) {
      if (arena.s3 === undefined && ['mixed', 'spooled'].includes(variant.target)) continue;
      if (variant.kind === 'incremental') await lane.stack.run('backup', { target: variant.target });
      const before = lane.stack.effects().length;
      await lane.stack.run('backup', { target: variant.target, kind: variant.kind });
      plain.set(nameOf(variant), lane.stack.effects().slice(before));
      await forgetBackups(lane, variant.target);
    }
  });
}, 300_000);
afterAll(async () => arena.stop(), 60_000);

for (const variant of variants) {
  describe(`B10 B15 ${nameOf(variant)} backup, its worker killed`, () => {
    for (const each of matrixCases(places)) {
      test.concurrent(each.name, async ({ skip }) => {
        const effects = plain.get(nameOf(variant));
        if (effects === undefined) return skip('no S3 server here');
        await arena.inLane((lane) => backupCase(arena, lane, { ...variant, plan: planOf(each, effects) }, digest));
      }, 1_800_000);
    }
  });
}
