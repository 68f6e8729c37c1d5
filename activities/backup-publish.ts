/** Per repository, once it holds every object: read back, then publish. */
import type { BackupRef } from '../domain/backup.ts';
import type { VerifyResult } from '../domain/ports.ts';
import { putConfirmed } from '../providers/repository/backup-files.ts';
import { sweepOrphans, writeState } from '../providers/repository/catalogue.ts';
import { keysOf } from '../providers/repository/layout.ts';
import { verifyStored } from '../providers/vault/verify.ts';
import { refOf } from './backup-dump.ts';
import { assertEpoch, type DeliverStep } from './backup-store.ts';
import type { ActivityDeps } from './deps.ts';
import { contentCheck } from './engines/content-check.ts';
import { withPulse } from './heartbeat.ts';
import { keysOfRun, requireDumped } from './run-file.ts';

/**
 * Reads the repository's copy back before it is called good. Effect: none.
 * @throws partMissing, partCorrupt, contentMismatch
 */
export async function verifyBackup(deps: ActivityDeps, step: DeliverStep): Promise<VerifyResult> {
  const { prepared, dumped } = step;
  const run = await requireDumped(deps.loaded.stateDir, prepared.backup, dumped.attempt);
  const store = await deps.stores.open(step.repository);
  const manifestBytes = Buffer.from(run.manifest, 'utf8');
  return withPulse(({ signal, report }) => {
    const phase = `read back from ${store.name}`;
    report({ phase, doneBytes: 0, totalBytes: dumped.bytes.stored });
    let doneBytes = 0;
    return verifyStored({
      store,
      ref: refOf(prepared),
      manifestBytes,
      keys: keysOfRun(run),
      ...(run.keyFiles === undefined ? {} : { keyFiles: run.keyFiles }),
      depth: prepared.verify,
      signal,
      ...(prepared.verify === 'content' ? { engineCheck: contentCheck } : {}),
      onProgress: (bytes: number) => {
        doneBytes += bytes;
        report({ phase, doneBytes, totalBytes: dumped.bytes.stored });
      },
    });
  }, deps);
}

/** Effect: the signed manifest, then the state file. Idempotency: same bytes. @throws fenced when a newer run took the target over, repositoryLost */
export async function publishBackup(deps: ActivityDeps, step: DeliverStep & { readonly verified: VerifyResult }): Promise<void> {
  const { prepared, dumped, verified } = step;
  const run = await requireDumped(deps.loaded.stateDir, prepared.backup, dumped.attempt);
  const store = await deps.stores.open(step.repository);
  await assertEpoch(store, prepared);
  const ref: BackupRef = refOf(prepared);
  // An attempt that was thought dead may have put a part since the sweep at the dump's start.
  await sweepOrphans(store, ref, dumped.attempt);
  const key = keysOf(ref).manifest;
  const manifest = Buffer.from(run.manifest, 'utf8');
  // All else was read back before; this is what makes it a backup.
  await putConfirmed(store, key, manifest);
  await writeState(store, ref, 'verified', { at: new Date().toISOString(), depth: verified.depth, parts: verified.parts, bytes: verified.bytes, keyFiles: run.keyFiles ?? {} });
}
