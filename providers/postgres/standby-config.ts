import { chown, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { withSettings } from '../../domain/auto-conf.ts';
import { syncDirectory, writeFileAtomic } from '../host/files.ts';

export interface StandbyConfig {
  readonly conninfo: string;
  readonly slot: string;
  /** When it differs from what the files it was copied with say. */
  readonly port?: number;
}

/** Settings that end a recovery: left over from a restore they would promote a standby. */
const recoveryTargets = ['recovery_target', 'recovery_target_time', 'recovery_target_lsn', 'recovery_target_xid', 'recovery_target_name', 'recovery_target_action', 'recovery_target_inclusive'];

async function write(dataDir: string, name: string, text: string): Promise<void> {
  const path = join(dataDir, name);
  await writeFileAtomic(path, text);
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(dataDir);
  await chown(path, uid, gid);
}

/** Makes a stopped data directory one that starts as a standby of that primary. Idempotent. */
export async function configureStandby(dataDir: string, config: StandbyConfig): Promise<void> {
  await write(dataDir, 'standby.signal', '');
  const auto = await readFile(join(dataDir, 'postgresql.auto.conf'), 'utf8').catch(() => '');
  await write(dataDir, 'postgresql.auto.conf', withSettings(auto, {
    ...Object.fromEntries(recoveryTargets.map((name) => [name, null])),
    primary_conninfo: config.conninfo,
    primary_slot_name: config.slot,
    ...(config.port === undefined ? {} : { port: String(config.port) }),
  }));
  await rm(join(dataDir, 'recovery.signal'), { force: true });
  await syncDirectory(dataDir);
}

/** Files of the server's own, that must survive when its data is replaced by another server's. */
const ownFiles = ['postgresql.conf', 'postgresql.auto.conf', 'pg_hba.conf', 'pg_ident.conf'] as const;

export type OwnFiles = Readonly<Record<string, string>>;

export async function readOwnFiles(dataDir: string): Promise<OwnFiles> {
  const found = await Promise.all(ownFiles.map(async (name) => [name, await readFile(join(dataDir, name), 'utf8').catch(() => undefined)] as const));
  return Object.fromEntries(found.filter((entry): entry is [typeof entry[0], string] => entry[1] !== undefined));
}

export async function writeOwnFiles(dataDir: string, files: OwnFiles): Promise<void> {
  for (const [name, text] of Object.entries(files)) await write(dataDir, name, text);
}
