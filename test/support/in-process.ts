/** Activities called as they are, without Temporal: what a command finds, in a fraction of its time. */
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { backupActivities } from '../../activities/backup.activities.ts';
import type { BackupKind } from '../../domain/backup.ts';
import { formatHostKey, generateHostKey } from '../../providers/vault/host-key.ts';
import { toResurgoError } from '../../activities/failure-mapping.ts';
import { KeyRing } from '../../activities/key-ring.ts';
import { restoreActivities } from '../../activities/restore.activities.ts';
import { Stores, type StorePool } from '../../activities/stores.ts';
import { verifyActivities } from '../../activities/verify.activities.ts';
import { rescueRestore, type RescueOptions } from '../../client/rescue.ts';
import { loadConfig } from '../../config/load.ts';
import type { DumpedBackup, PreparedBackup, RepositoryOutcome, RestoreInput, RestoreResult, VerifiedCopy } from '../../domain/operations.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { idFromUuid } from '../../domain/ids.ts';
import { randomUUID } from 'node:crypto';
import { createDeps } from '../../workers/deps.ts';
import type { ActivityDeps } from '../../activities/deps.ts';
import { RestoreFailed, restoreFlow, type FlowHost } from '../../workflows/restore-flow.ts';

export function depsOf(configPath: string, stores?: (inner: Stores) => StorePool): ActivityDeps {
  const loaded = loadConfig(configPath);
  const deps = createDeps(loaded, { host: 'test-host', searchAttributes: false });
  return stores === undefined ? deps : { ...deps, stores: stores(new Stores(loaded)), keys: new KeyRing(loaded) };
}

/** As the workflow `verify` decides: damage and what could not be looked at, by copy. */
export async function verifyHere(deps: ActivityDeps, input: { target: string; backup?: string; deep?: boolean; repositories?: readonly string[] }): Promise<VerifiedCopy[]> {
  const { listCopies, verifyCopy } = verifyActivities(deps);
  const { copies, unreachable } = await listCopies(input);
  const found = [...unreachable];
  for (const copy of copies) {
    try {
      found.push(await verifyCopy({ ...copy, target: input.target, deep: input.deep ?? false }));
    } catch (error) {
      const { code, message } = toResurgoError(error);
      found.push({ backup: copy.id, kind: copy.kind, repository: copy.repository, status: code === 'wrongKey' || code === 'keyMissing' ? 'unopened' : 'unreachable', error: { code, message } });
    }
  }
  return found;
}

const host: FlowHost = {
  now: () => new Date().toISOString(),
  show: () => undefined,
  shielded: (work) => work(),
  describe: (error) => {
    const { code, message, hint } = toResurgoError(error);
    return { code, message, hint };
  },
};

/** The steps of a restore, each once. @throws ResurgoError with the result in its details */
export async function restoreHere(deps: ActivityDeps, input: RestoreInput): Promise<RestoreResult> {
  try {
    return await restoreFlow({ ...input, id: idFromUuid(randomUUID()), startedAt: host.now() }, restoreActivities(deps), host);
  } catch (error) {
    throw failureOf(error);
  }
}

function failureOf(error: unknown): Error {
  if (!(error instanceof RestoreFailed)) return error as Error;
  const { code, message } = error.result.error ?? { code: 'bug', message: error.message };
  return new ResurgoError(code as 'bug', message, { cause: error.original, details: { result: error.result } });
}

/** Break glass from a repository alone. @throws like {@link restoreHere} */
export async function rescueHere(options: Pick<RescueOptions, 'repository' | 'identity' | 'trust' | 'toolsDir' | 'tablespaces' | 'connection' | 'target' | 'input'>): Promise<RestoreResult> {
  const quiet = (): void => undefined;
  try {
    return await rescueRestore({ ...options, loadConfig: () => Promise.reject(new Error('none')), onProgress: quiet, onStep: quiet, onNote: quiet, signal: new AbortController().signal });
  } catch (error) {
    throw failureOf(error);
  }
}

/** The second in which the last backup began: names tell no less. */
let lastSecond = 0;

/** Each backup is later by its name than the one before. */
async function nextSecond(): Promise<void> {
  if (Math.floor(Date.now() / 1000) <= lastSecond) await new Promise((resolve) => setTimeout(resolve, (lastSecond + 1) * 1000 - Date.now() + 1));
  lastSecond = Math.floor(Date.now() / 1000);
}

/** The steps of a backup, each once. @throws what a step throws */
export async function backupHere(deps: ActivityDeps, input: { target: string; kind?: BackupKind }): Promise<DumpedBackup & { readonly prepared: PreparedBackup }> {
  const steps = backupActivities(deps);
  await nextSecond();
  const prepared = await steps.prepareBackup({ id: idFromUuid(randomUUID()), target: input.target, kind: input.kind ?? 'full', startedBy: 'test', startedAt: host.now() });
  const dumped = await steps.dumpBackup(prepared);
  const outcomes: RepositoryOutcome[] = [];
  for (const repository of prepared.repositories) {
    const step = { prepared, dumped, repository };
    if (repository !== prepared.primary) await steps.storeBackup(step);
    const verified = await steps.verifyBackup(step);
    await steps.publishBackup({ ...step, verified });
    outcomes.push({ name: repository, status: 'verified', depth: verified.depth });
  }
  await steps.finishBackup({ prepared, dumped, outcomes });
  return { ...dumped, prepared };
}

/** Keys and a configuration with a disk repository `local` in a directory; no Temporal. @returns its path */
export async function configHere(dir: string, targets: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const identity = await generateIdentity();
  writeFileSync(join(dir, 'resurgo.key'), `${identity}\n`, { mode: 0o600 });
  writeFileSync(join(dir, 'resurgo-host.key'), formatHostKey(await generateHostKey()), { mode: 0o600 });
  const path = join(dir, 'resurgo.yaml');
  writeFileSync(path, JSON.stringify({
    version: 1,
    encryption: { recipients: [await identityToRecipient(identity)], identity: { file: './resurgo.key' } },
    repositories: { local: { type: 'disk', path: './repo' } },
    targets,
    ...more,
  }), { mode: 0o600 });
  return path;
}
