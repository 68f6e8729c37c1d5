/** First contact of a public workflow with the host side: is the input valid, which host has to do the work, what does the namespace offer? */
import { z } from 'zod';
import type { BackupInput, FinishRestoreInput, OnBusy, PruneInput, RestoreInput, UpkeepInput, VerifyInput } from '../domain/operations.ts';
import type { BackupKind, Engine } from '../domain/backup.ts';
import { engineTraits } from '../domain/engines.ts';
import { ResurgoError } from '../domain/errors.ts';
import { namePattern } from '../domain/ids.ts';
import { heldTogether, prunedRepositories } from '../config/lookup.ts';
import type { ActivityDeps } from './deps.ts';
import { targetSettings } from './target-settings.ts';

const common = { schemaVersion: z.literal(1).optional(), target: z.string().regex(namePattern, 'is not a target name'), startedBy: z.string().max(200).optional() };
const onBusy = z.enum(['wait', 'skip', 'refuse']).optional();
const backupInput = z.strictObject({ ...common, kind: z.enum(['full', 'differential', 'incremental']).optional(), onBusy });
const restoreInput = z.strictObject({
  ...common,
  backup: z.string().min(1).max(64).optional(),
  mode: z.enum(['in-place', 'beside', 'scratch']).optional(),
  time: z.string().min(1).max(64).optional(),
  lsn: z.string().min(1).max(20).optional(),
  point: z.string().min(1).max(64).optional(),
  timeline: z.number().int().positive().optional(),
  to: z.string().min(1).max(4096).optional(),
  only: z.array(z.string().min(1).max(256)).max(1000).optional(),
  noDowntime: z.boolean().optional(),
  digest: z.boolean().optional(),
  preview: z.boolean().optional(),
  onBusy,
});
const verifyInput = z.strictObject({ schemaVersion: common.schemaVersion, target: common.target, startedBy: common.startedBy, backup: z.string().min(1).max(64).optional(), deep: z.boolean().optional(), repositories: z.array(z.string()).optional() });
const pruneInput = z.strictObject({ ...common, preview: z.boolean().optional(), repositories: z.array(z.string().regex(namePattern, 'is not a repository name')).min(1).max(100).optional(), now: z.boolean().optional(), onBusy });
const upkeepInput = z.strictObject({ ...common, preview: z.boolean().optional() });
const finishInput = z.strictObject({ schemaVersion: common.schemaVersion, target: common.target, id: z.string().regex(/^[0-9a-z]{12}$/, 'is not a restore id'), action: z.enum(['confirm', 'rollback']) });

/** @throws inputInvalid listing every field that is wrong */
export function parseInput<T>(schema: z.ZodType<T>, input: unknown, what: string): T {
  const parsed = schema.safeParse(input ?? {});
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.length === 0 ? 'input' : issue.path.join('.')}: ${issue.message}`);
  throw new ResurgoError('inputInvalid', `The input of "${what}" is not valid: ${problems.join('; ')}. Example: {"target":"shop"}`);
}

export function announceActivities(deps: ActivityDeps) {
  const hostOf = (target: string): string => targetSettings(deps, target).host ?? deps.host;
  return {
    /** Effect: none. */
    async announceBackup(input: BackupInput): Promise<{ input: { target: string; kind: BackupKind; onBusy: OnBusy; startedBy: string }; engine: Engine; host: string | null; searchAttributes: boolean; prune?: string[] }> {
      const checked = parseInput(backupInput, input, 'backup');
      const settings = targetSettings(deps, checked.target);
      const kind = checked.kind ?? 'full';
      const traits = engineTraits[settings.engine];
      if (!traits.kinds.includes(kind)) {
        throw new ResurgoError('unsupported', `target ${checked.target} ${traits.whyOnlyThese ?? 'cannot be backed up so'}, not ${kind}`, {
          details: { hint: settings.engine === 'logical' ? 'Use `engine: physical` for differential and incremental backups.' : `Use --kind ${traits.kinds.join(' or ')}.` },
        });
      }
      return { input: { target: checked.target, kind, onBusy: checked.onBusy ?? 'wait', startedBy: checked.startedBy ?? 'temporal' }, engine: settings.engine, host: settings.host ?? null, searchAttributes: deps.searchAttributes, prune: prunedRepositories(deps.loaded.config, checked.target) };
    },

    /** Effect: none. */
    async announceRestore(input: RestoreInput): Promise<{ input: RestoreInput; host: string; searchAttributes: boolean; locks: string[] }> {
      const checked = parseInput(restoreInput, input, 'restore') as RestoreInput;
      return { input: checked, host: hostOf(checked.target), searchAttributes: deps.searchAttributes, locks: heldTogether(deps.loaded.config, checked.target) };
    },

    /** Effect: none. */
    async announceVerify(input: VerifyInput): Promise<{ input: VerifyInput; host: string | null; searchAttributes: boolean }> {
      const checked = parseInput(verifyInput, input, 'verify') as VerifyInput;
      const { host } = targetSettings(deps, checked.target);
      return { input: checked, host: host ?? null, searchAttributes: deps.searchAttributes };
    },

    /** Effect: none. @throws inputInvalid, also for a repository the target does not use */
    async announcePrune(input: PruneInput): Promise<{ input: PruneInput & { readonly repositories: readonly string[] }; host: string | null; searchAttributes: boolean }> {
      const checked = parseInput(pruneInput, input, 'prune') as PruneInput;
      const { host, repositories } = targetSettings(deps, checked.target);
      const unknown = (checked.repositories ?? []).filter((name) => !repositories.includes(name));
      if (unknown.length > 0) throw new ResurgoError('inputInvalid', `target ${checked.target} does not use repository ${unknown.join(', ')}; it uses ${repositories.join(', ')}`);
      return { input: { ...checked, repositories: [...new Set(checked.repositories ?? repositories)] }, host: host ?? null, searchAttributes: deps.searchAttributes };
    },

    /** Effect: none. */
    async announceUpkeep(input: UpkeepInput): Promise<{ input: UpkeepInput; host: string | null; searchAttributes: boolean }> {
      const checked = parseInput(upkeepInput, input, 'upkeep') as UpkeepInput;
      return { input: checked, host: targetSettings(deps, checked.target).host ?? null, searchAttributes: deps.searchAttributes };
    },

    /** Effect: none. */
    async announceFinishRestore(input: FinishRestoreInput): Promise<{ input: FinishRestoreInput; host: string; locks: string[] }> {
      const checked = parseInput(finishInput, input, 'finishRestore') as FinishRestoreInput;
      return { input: checked, host: hostOf(checked.target), locks: heldTogether(deps.loaded.config, checked.target) };
    },

    /** Effect: none. Heartbeat: while it waits. */
    async waitForOperation({ workflowId }: { workflowId: string }): Promise<void> {
      const wait = deps.waitForClose;
      if (wait === undefined) return;
      const { withPulse } = await import('./heartbeat.ts');
      await withPulse(({ signal, report }) => {
        report({ phase: `waiting for ${workflowId}` });
        return wait(workflowId, signal);
      });
    },
  };
}
