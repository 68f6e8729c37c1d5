import type { BackupKind, BackupRef, Manifest } from '../domain/backup.ts';
import type { VerifiedCopy, VerifyInput } from '../domain/operations.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { findBackup, listBackups, readManifestBytes, readState, removeState, writeState } from '../providers/repository/catalogue.ts';
import { parseManifest } from '../providers/vault/publish.ts';
import { openKeys } from '../providers/vault/open.ts';
import { digestKeyFiles, isKeyFile } from '../providers/vault/key-files.ts';
import { verifyStored } from '../providers/vault/verify.ts';
import { contentCheck } from './engines/content-check.ts';
import type { ActivityDeps } from './deps.ts';
import { withPulse } from './heartbeat.ts';
import { targetSettings } from './target-settings.ts';

export interface CopyRef {
  readonly id: string;
  readonly name: string;
  readonly kind: BackupKind;
  readonly systemId: string;
  readonly startedAt: string;
  readonly repository: string;
}

/** A listed copy without its manifest is a damaged one. */
async function manifestOf(store: ObjectStore, ref: BackupRef): Promise<Buffer> {
  try {
    return await readManifestBytes(store, ref);
  } catch (error) {
    if (!isResurgoError(error, 'backupUnknown')) throw error;
    throw new ResurgoError('manifestInvalid', `the manifest of ${ref.name} is gone from ${store.name}`, { cause: error });
  }
}

/** What a backup builds on must be there too, and whole as far as is known, or nothing can be restored from this repository alone. @throws parentMissing */
async function assertChain(store: ObjectStore, ref: BackupRef, manifest: Manifest, trusted: readonly string[], signal: AbortSignal): Promise<void> {
  if (manifest.chain.length === 0) return;
  const all = await listBackups(store, ref.target, signal);
  for (const id of manifest.chain) {
    const parent = all.find((other) => other.id === id && other.systemId === ref.systemId);
    if (parent === undefined) throw new ResurgoError('parentMissing', `backup ${ref.name} builds on ${id}, which ${store.name} does not hold`);
    if (parent.state.includes('damaged')) throw new ResurgoError('parentMissing', `backup ${ref.name} builds on ${id}, which is damaged in ${store.name}`);
    try {
      parseManifest(await manifestOf(store, parent), { ref: parent, trusted });
    } catch (error) {
      if (!isResurgoError(error) || error.definition.retryable) throw error;
      throw new ResurgoError('parentMissing', `backup ${ref.name} builds on ${id}: ${error.message}`, { cause: error });
    }
  }
}

/** Digests of the wrapped keys as they were when the copy was published. */
async function keyFilesOf(store: ObjectStore, ref: BackupRef): Promise<Record<string, string>> {
  const state = (await readState(store, ref, 'verified').catch(() => undefined)) as { keyFiles?: unknown } | undefined;
  const { keyFiles } = state ?? {};
  if (typeof keyFiles !== 'object' || keyFiles === null) return {};
  return Object.fromEntries(Object.entries(keyFiles).filter((entry): entry is [string, string] => typeof entry[1] === 'string' && isKeyFile(entry[0])));
}

export function verifyActivities(deps: ActivityDeps) {
  return {
    /** Which copies there are. Effect: none. @throws backupUnknown when one was named and no repository has it */
    async listCopies(input: VerifyInput): Promise<{ copies: CopyRef[]; unreachable: VerifiedCopy[] }> {
      const settings = targetSettings(deps, input.target);
      const copies: CopyRef[] = [];
      const unreachable: VerifiedCopy[] = [];
      for (const repository of input.repositories ?? settings.repositories) {
        try {
          const store = await deps.stores.open(repository);
          const all = await listBackups(store, input.target);
          const named = all.filter((ref) => ref.id === input.backup || ref.name === input.backup);
          const refs = input.backup === undefined ? all : named.length > 0 ? named : [await findBackup(store, input.backup, input.target)];
          // Parents first: what builds on a damaged one is worth nothing either.
          for (const ref of refs.toReversed()) {
            // Published once and without a manifest now is damage; never published is an orphan of a running or dead run.
            if (ref.published || ref.state.length > 0) copies.push({ id: ref.id, name: ref.name, kind: ref.kind, systemId: ref.systemId, startedAt: ref.startedAt, repository });
          }
        } catch (error) {
          if (!isResurgoError(error)) throw error;
          if (error.code === 'backupUnknown') continue;
          unreachable.push({ backup: input.backup ?? '*', kind: 'full', repository, status: 'unreachable', error: { code: error.code, message: error.message } });
        }
      }
      if (copies.length === 0 && unreachable.length === 0 && input.backup !== undefined) throw new ResurgoError('backupUnknown', `no repository of ${input.target} holds backup ${input.backup}`);
      return { copies, unreachable };
    },

    /** Reads one copy back. Effect: its state file. Failure: damage is a result, not an error; an unreachable store is tried again. */
    async verifyCopy(copy: CopyRef & { readonly target: string; readonly deep: boolean }): Promise<VerifiedCopy> {
      const base = { backup: copy.id, kind: copy.kind, repository: copy.repository };
      const store = await deps.stores.open(copy.repository);
      const ref = { target: copy.target, systemId: copy.systemId, name: copy.name, startedAt: copy.startedAt, kind: copy.kind, id: copy.id };
      try {
        let keyFiles = await keyFilesOf(store, ref);
        const result = await withPulse(async ({ signal, report }) => {
          const manifestBytes = await manifestOf(store, ref);
          const manifest = parseManifest(manifestBytes, { ref, trusted: await deps.keys.trusted() });
          await assertChain(store, ref, manifest, await deps.keys.trusted(), signal);
          const keys = copy.deep ? await openKeys({ stores: [store], backup: copy.id, attempt: manifest.attempt, credentials: await deps.keys.credentials() }) : undefined;
          let doneBytes = 0;
          return verifyStored({
            store, ref, manifestBytes, signal, keyFiles,
            ...(keys === undefined ? { depth: 'checksum' as const } : { depth: 'content' as const, keys, engineCheck: contentCheck }),
            onProgress: (bytes: number) => {
              doneBytes += bytes;
              report({ phase: `read back ${copy.name} from ${copy.repository}`, doneBytes, totalBytes: manifest.bytes.stored });
            },
          });
        }, deps);
        if (Object.keys(keyFiles).length === 0) keyFiles = await digestKeyFiles(store, copy.id);
        await writeState(store, ref, 'verified', { at: new Date().toISOString(), depth: result.depth, parts: result.parts, bytes: result.bytes, keyFiles });
        // The mark of a copy that arrived, and died before it could say so.
        await removeState(store, ref, 'damaged', 'copying');
        return { ...base, status: 'verified', depth: result.depth, bytes: result.bytes };
      } catch (error) {
        if (!isResurgoError(error) || error.definition.retryable || error.definition.kind === 'precondition') throw error;
        // Whoever looks at the catalogue, prunes or restores sees it too. That it was published is still to be seen, by this.
        await writeState(store, ref, 'damaged', { at: new Date().toISOString(), code: error.code, message: error.message });
        await removeState(store, ref, 'verified', 'proven');
        return { ...base, status: 'damaged', error: { code: error.code, message: error.message } };
      }
    },
  };
}
