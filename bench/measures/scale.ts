import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { BackupRef, Manifest } from '../../domain/backup.ts';
import type { LoggedRun } from '../../domain/run-log.ts';
import { backupName, keysOf } from '../../providers/repository/layout.ts';
import { runLogKey } from '../../providers/repository/run-log.ts';
import { parseHostKey } from '../../providers/vault/host-key.ts';
import { formatManifest, signManifest } from '../../providers/vault/publish.ts';
import type { Lab } from '../lab.ts';
import { measureOf } from '../report.ts';
import { ResurgoHost, type Target } from '../resurgo-host.ts';
import { seconds } from '../rounds.ts';
import type { Measure, Sample } from '../types.ts';

const targets = 1000;
const backupsEach = 50;
const names = Array.from({ length: targets }, (_, i) => `t${String(i).padStart(4, '0')}`);
const manyTargets = Object.fromEntries(names.map((name): [string, Target] => [name, { type: 'files', paths: ['/etc/hostname'] }]));

/** `resurgo status` over 1,000 targets with 50 backups each on a disk repository, from the shell; and `resurgo backups` of one of them. */
export async function statusOfMany(lab: Lab): Promise<Measure[]> {
  const host = await ResurgoHost.create(manyTargets, { policies: [{ targets: names, kind: 'full', schedule: '0 * * * *' }] });
  const status = async (): Promise<Sample> => {
    const { value, result } = await seconds(() => host.cli(['status', '--json'], [0, 6]));
    const report = JSON.parse(result) as { targets: { newestVerifiedBackup: string | null; health: { succeeded: number }[] }[] };
    const known = report.targets.filter(({ newestVerifiedBackup, health }) => newestVerifiedBackup !== null && health[0]?.succeeded === backupsEach);
    if (known.length !== targets) throw new Error(`status knows ${String(known.length)} of ${String(targets)} targets`);
    return { value };
  };
  try {
    lab.note(`making ${String(targets * backupsEach)} backups`);
    await fill(host);
    const first = await status();
    lab.note(`the first look: ${first.value.toFixed(2)} s`);
    const samples: Sample[] = [];
    const lists: Sample[] = [];
    for (let round = 0; round < lab.options.rounds; round++) {
      samples.push(await status());
      lists.push({ value: (await seconds(() => host.cli(['backups', names[round] ?? '', '--json']))).value });
      lab.note(`round ${String(round + 1)}: status ${samples.at(-1)?.value.toFixed(2) ?? ''}, backups ${lists.at(-1)?.value.toFixed(2) ?? ''}`);
    }
    return [measureOf({ name: 'status-1000', what: '`resurgo status` over 1,000 targets with 50 backups each', unit: 's', bar: 3, peerName: null, note: `the very first look, which reads the newest manifests: ${first.value.toFixed(1)} s; \`resurgo backups TARGET\` beside it: ${(lists[0]?.value ?? 0).toFixed(2)} s` }, samples, undefined)];
  } finally {
    await host.stop();
  }
}

/** What 50 hours of hourly backups of every target leave, without their parts: nothing here reads those. */
async function fill(host: ResurgoHost): Promise<void> {
  const hostKey = await parseHostKey(readFileSync(join(host.dir, 'resurgo-host.key'), 'utf8'), 'the key of the host');
  const repository = join(host.dir, 'backups');
  const made = new Set<string>();
  const write = (key: string, body: Uint8Array | string): void => {
    const path = join(repository, key);
    const dir = dirname(path);
    if (!made.has(dir)) mkdirSync(dir, { recursive: true, mode: 0o700 });
    made.add(dir);
    writeFileSync(path, body, { mode: 0o600 });
  };
  write('repository.json', `${JSON.stringify({ id: 'bench', format: 1, minReader: 1, features: [] })}\n`);
  const hour = 3_600_000;
  const newest = Math.floor(Date.now() / hour) * hour;
  for (const [t, target] of names.entries()) {
    const runs: LoggedRun[] = [];
    for (let n = backupsEach - 1; n >= 0; n--) {
      const startedAt = new Date(newest - n * hour).toISOString();
      const id = `${String(t).padStart(6, '0')}${String(n).padStart(6, '0')}`;
      const ref: BackupRef = { target, systemId: 'files', id, kind: 'full', startedAt, name: backupName({ startedAt, kind: 'full', id }) };
      const manifest: Manifest = {
        schemaVersion: 1, format: 1, ...ref, engine: 'files', parent: null, chain: [], attempt: 'a1', endedAt: startedAt, durationMs: 1000, startedBy: 'schedule', bytes: { source: 1000, stored: 500 },
        counts: { parts: 1, files: 1 }, compression: 'zstd', encryption: { cipher: 'aes-256-gcm', recipients: [] }, digests: { sha256sums: 'a'.repeat(64), index: 'b'.repeat(64) }, versions: { resurgo: '0', server: 'tar' }, checks: [], warnings: [],
      };
      const keys = keysOf(ref);
      write(keys.manifest, formatManifest(signManifest(manifest, hostKey)));
      write(keys.state('verified'), `${JSON.stringify({ at: startedAt })}\n`);
      runs.push({ id, kind: 'full', at: startedAt, ms: 1000, ok: true, scheduled: true });
    }
    write(runLogKey(target, 'backup'), `${JSON.stringify({ schemaVersion: 1, runs, expects: [{ kind: 'full', cron: '0 * * * *', timezone: 'UTC', jitterMs: 0, since: runs[0]?.at }] })}\n`);
  }
}

/** Schedules of 1,000 targets (full, incremental, upkeep) applied, compared and paused by `resurgo schedules`, from the shell. */
export async function schedulesOfMany(lab: Lab): Promise<Measure[]> {
  const samples: Sample[] = [];
  const told: string[] = [];
  for (let round = 0; round < lab.options.rounds; round++) {
    const policies = [{ targets: names, preset: 'daily', paused: undefined as string | undefined }];
    const host = await ResurgoHost.create(manyTargets, { policies });
    try {
      await host.start();
      const parts: number[] = [];
      for (const [args, wanted] of [[['apply'], 'create'], [['diff'], 'none'], [['apply'], 'update']] as const) {
        if (wanted === 'update') host.configure({ policies: [{ ...policies[0], paused: 'bench' }] });
        const { value, result } = await seconds(() => host.cli(['schedules', ...args, '--json'], [0, 1, 7]));
        const { counts, failed } = JSON.parse(result) as { counts: Record<string, number>; failed: number };
        if (failed > 0 || (counts[wanted] ?? 0) < 2 * targets) throw new Error(`schedules ${args.join(' ')}: ${JSON.stringify(counts)}, ${String(failed)} failed`);
        parts.push(value);
      }
      samples.push({ value: parts.reduce((sum, part) => sum + part, 0) });
      told.push(parts.map((part) => part.toFixed(1)).join(' + '));
      lab.note(`round ${String(round + 1)}: applied, compared, paused in ${told.at(-1) ?? ''} s`);
    } finally {
      await host.stop();
    }
  }
  return [measureOf({ name: 'schedules-1000', what: '3,000 schedules of 1,000 targets applied, compared and paused', unit: 's', bar: 60, peerName: null, note: `apply + diff + pause: ${told.join('; ')} s` }, samples, undefined)];
}
