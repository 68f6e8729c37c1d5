import type { VerifyInput, VerifyReport, VerifiedCopy } from '../domain/operations.ts';
import { heavyOn, lightOn, local } from './activity-profiles.ts';
import { factsOf, rethrow } from './failures.ts';
import { Checklist, searchAttributes, targetIn } from './progress.ts';
import { readBackAll, unreadAs } from './wal-read-back.ts';

/** Reads stored backups back, without touching them. Public: `{"target":"shop","backup":"latest","deep":true}`. Query: `steps`. */
export async function verify(input: VerifyInput): Promise<VerifyReport> {
  try {
    const checklist = new Checklist(`Verify ${targetIn(input)}`, ['list']);
    const checked = await checklist.run('list', () => local.announceVerify(input));
    checklist.enableAttributes(checked.searchAttributes);
    checklist.tag([
      { key: searchAttributes.target, value: checked.input.target },
      { key: searchAttributes.operation, value: 'verify' },
    ]);
    const selected = await checklist.run('list', () => lightOn(checked.host, 'list the copies').listCopies(checked.input), (list) => `${list.copies.length} copies`);
    const copies: VerifiedCopy[] = [...selected.unreachable];
    for (const copy of selected.copies) {
      const name = `${copy.name} in ${copy.repository}`;
      checklist.set(name, 'in progress');
      try {
        const result = await heavyOn(checked.host, `read back ${name}`).verifyCopy({ ...copy, target: checked.input.target, deep: checked.input.deep ?? false });
        copies.push(result);
        checklist.set(name, result.status === 'verified' ? 'completed' : 'failed', result.error?.message);
      } catch (error) {
        const { code, message } = factsOf(error);
        if (code === 'cancelled') throw error;
        copies.push({ backup: copy.id, kind: copy.kind, repository: copy.repository, status: unreadAs(code), error: { code, message } });
        checklist.set(name, 'failed', message);
      }
    }
    const wal = checked.input.backup === undefined ? await readBackAll(checked.host, checked.input.target, { deep: checked.input.deep ?? false, all: true, heal: false }, checklist) : undefined;
    const all: readonly { readonly status: string }[] = [...copies, ...(wal ?? [])];
    const status = all.some((one) => one.status === 'damaged') ? 'damaged' : all.some((one) => one.status === 'unreachable' || one.status === 'unopened') ? 'incomplete' : 'verified';
    return { schemaVersion: 1, target: checked.input.target, status, copies, ...(wal && { wal }) };
  } catch (error) {
    rethrow(error);
  }
}
