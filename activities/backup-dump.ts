import { randomBytes } from 'node:crypto';
import type { BackupIndex, BackupRef, Manifest } from '../domain/backup.ts';
import type { DumpedBackup, PreparedBackup } from '../domain/operations.ts';
import type { ObjectStore } from '../domain/ports.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';
import { hostKeyFile, keyFile, keysOf } from '../providers/repository/layout.ts';
import { sweepOrphans } from '../providers/repository/catalogue.ts';
import { generateAttemptKeys, wrapKeys, wrapMetadataKey } from '../providers/vault/keys.ts';
import { hostPublic } from '../providers/vault/host-key.ts';
import { createBackupWriter } from '../providers/vault/seal.ts';
import { formatManifest, sealIndex, sha256Hex, sha256Sums, signManifest } from '../providers/vault/publish.ts';
import { archiveSettings } from './archive/settings.ts';
import type { ActivityDeps } from './deps.ts';
import { engineDefinition } from './engines/index.ts';
import { Feeder } from './feeder.ts';
import { withPulse } from './heartbeat.ts';
import { inParallel } from './in-parallel.ts';
import { assertCurrent, readRunFile, writeRunFile } from './run-file.ts';
import { Spool } from './spool.ts';
import { sweepOtherRuns } from './staging.ts';
import { targetSettings } from './target-settings.ts';

export const refOf = (plan: PreparedBackup): BackupRef => ({ target: plan.target, systemId: plan.systemId, name: plan.name, startedAt: plan.startedAt, kind: plan.kind, id: plan.backup });

/**
 * Dumps and seals into the primary store, feeding the other repositories beside it.
 * Effect: parts, sums, index and wrapped keys in the primary store; the run file. Idempotency: a finished dump (run file says so) is returned as
 * it is; a dead one is dumped again whole under new keys and another attempt id, its parts swept. Heartbeat: bytes. Failure: by provider code.
 */
export async function dumpBackup(deps: ActivityDeps, plan: PreparedBackup): Promise<DumpedBackup> {
  const settings = plan.engine === 'archive' ? archiveSettings(deps, plan.target, plan.configHash) : targetSettings(deps, plan.target, plan.configHash);
  const stateDir = deps.loaded.stateDir;
  const earlier = await readRunFile(stateDir, plan.backup);
  if (earlier?.dumped !== undefined) return earlier.dumped;
  await sweepOtherRuns(deps, plan.target, plan.backup);
  const ref = refOf(plan);
  const primary = plan.primary === 'spool' ? await deps.stores.spool(plan.backup) : await deps.stores.open(plan.primary);
  const oneJob = earlier?.oneJob ?? false;
  const attempt = randomBytes(5).toString('hex');
  const keys = generateAttemptKeys(plan.backup, attempt);
  await writeRunFile(stateDir, {
    backup: plan.backup,
    target: plan.target,
    attempt,
    dataKey: Buffer.from(keys.dataKey).toString('base64'),
    metadataKey: Buffer.from(keys.metadataKey).toString('base64'),
    ...(oneJob ? { oneJob } : {}),
  });
  // What a dead attempt left is of no use to anybody: its keys are gone from the run file.
  await sweepOrphans(primary, ref, attempt);
  const others = await openOthers(deps, plan);
  for (const store of others) await sweepOrphans(store, ref, attempt).catch(() => undefined);

  return withPulse(async ({ signal, report }) => {
    const abort = new AbortController();
    const stop = AbortSignal.any([signal, abort.signal]);
    const spool = new Spool({ store: primary, boundBytes: plan.primary === 'spool' ? settings.spoolBytes : Infinity, repositories: others.map((store) => store.name) });
    const feeders = others.map(
      (store) =>
        new Feeder({
          from: primary,
          to: store,
          signal: stop,
          onStored: (part) => { spool.stored(store.name, part); },
          onGivenUp: (error) => { spool.giveUp(store.name, error); },
        }),
    );
    const objectKeys = keysOf(ref);
    const writer = createBackupWriter({
      keys,
      compression: settings.compression,
      ...(settings.compressionLevel === undefined ? {} : { level: settings.compressionLevel }),
      signal: stop,
      sink: async (n, object, sha256) => {
        await assertCurrent(stateDir, plan.backup, attempt);
        await spool.room(object.length, stop);
        const part = { key: objectKeys.part(attempt, n), bytes: object.length, sha256 };
        await primary.put(part.key, object, { sha256, signal: stop });
        spool.added(part);
        for (const feeder of feeders) feeder.offer(part);
      },
      onProgress: () => { report({ phase: 'dump and seal', doneBytes: writer.sourceBytes, note: `${String(Math.round(writer.storedBytes / 1048576))} MiB sealed` }); },
    });
    try {
      const engine = await engineDefinition(settings.engine).dump({ deps, plan, settings, writer, signal: stop, report, oneJob });
      const sealed = await writer.finish();
      if (sealed.sourceBytes === 0) throw new ResurgoError('dumpEmpty', `the dump of ${plan.target} has no content`);
      engine.check(sealed.streams);
      const index: BackupIndex = {
        format: 1, backup: plan.backup, attempt, streams: sealed.streams, parts: sealed.parts, engine: engine.facts,
        ...(engine.engineManifest === undefined ? {} : { engineManifest: engine.engineManifest }),
      };
      const indexObject = sealIndex(index, keys);
      const sums = sha256Sums(attempt, sealed.parts, sha256Hex(indexObject));
      const hostKey = await deps.keys.hostKey();
      const credentials = await deps.keys.audience();
      const wrapped = await wrapKeys(keys, credentials);
      const wrappedForHost = await wrapMetadataKey(keys, hostPublic(hostKey).recipient);
      const small = [
        { key: objectKeys.index, body: indexObject },
        { key: objectKeys.sums, body: sums },
        { key: keyFile(plan.backup, 1), body: wrapped },
        { key: hostKeyFile(plan.backup), body: wrappedForHost },
      ];
      await inParallel(small, small.length, ({ key, body }) => primary.put(key, body, { signal: stop }));
      const endedAt = new Date().toISOString();
      const files = sealed.streams.reduce((sum, stream) => sum + (stream.files?.filter((file) => file.type === 'file').length ?? 1), 0);
      const counts = { parts: sealed.parts.length, files, ...engine.counts };
      const manifest: Manifest = {
        schemaVersion: 1,
        format: 1,
        id: plan.backup,
        target: plan.target,
        systemId: plan.systemId,
        name: plan.name,
        kind: plan.kind,
        engine: plan.engine,
        parent: plan.parent,
        chain: plan.chain,
        attempt,
        startedAt: plan.startedAt,
        endedAt,
        durationMs: Date.parse(endedAt) - Date.parse(plan.startedAt),
        startedBy: plan.startedBy,
        bytes: { source: sealed.sourceBytes, stored: sealed.storedBytes },
        counts,
        compression: settings.compression,
        encryption: { cipher: 'aes-256-gcm', recipients: credentials.recipients ?? [] },
        digests: { sha256sums: sha256Hex(sums), index: sha256Hex(indexObject) },
        versions: { resurgo: deps.version, server: engine.serverVersion, ...(engine.toolVersion === undefined ? {} : { tool: engine.toolVersion }) },
        ...(engine.wal === undefined ? {} : { wal: engine.wal }),
        ...(engine.members === undefined ? {} : { members: engine.members }),
        checks: engine.checks,
        warnings: [...plan.warnings, ...engine.warnings],
      };
      const dumped: DumpedBackup = { attempt, host: deps.host, bytes: { source: sealed.sourceBytes, stored: sealed.storedBytes }, counts, endedAt, warnings: engine.warnings };
      // From here on nothing is dumped again, whatever dies.
      await assertCurrent(stateDir, plan.backup, attempt);
      const run = await readRunFile(stateDir, plan.backup);
      if (run === undefined) throw new ResurgoError('fenced', `the run file of backup ${plan.backup} is gone`);
      await writeRunFile(stateDir, { ...run, dumped, keyFiles: { '1.age': sha256Hex(wrapped), 'host.age': sha256Hex(wrappedForHost) }, manifest: formatManifest(signManifest(manifest, hostKey)).toString('utf8') });
      return dumped;
    } catch (error) {
      abort.abort(error);
      await writer.abort(error);
      if (isResurgoError(error, 'dumpFailed') && error.details['lockLost'] === true) await rememberOneJob(stateDir, plan.backup, attempt);
      throw error;
    } finally {
      await Promise.all(feeders.map((feeder) => feeder.close()));
    }
  }, deps);
}

/** The next attempt does without parallel workers. Another one that took over keeps its run file as it is. */
async function rememberOneJob(stateDir: string, backup: string, attempt: string): Promise<void> {
  const run = await readRunFile(stateDir, backup);
  if (run?.attempt === attempt) await writeRunFile(stateDir, { ...run, oneJob: true });
}

async function openOthers(deps: ActivityDeps, plan: PreparedBackup): Promise<ObjectStore[]> {
  const opened = await Promise.allSettled(plan.repositories.filter((name) => name !== plan.primary).map((name) => deps.stores.open(name, { create: true })));
  return opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}
