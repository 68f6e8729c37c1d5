/** Dead-man pings of the configuration. A ping that fails is noted for `resurgo status` and fails nothing else. */
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadedConfig } from '../config/load.ts';
import type { DeadmanConfig } from '../config/schema-deadman.ts';
import { resolveSecret } from '../config/secret.ts';
import { isResurgoError } from '../domain/errors.ts';
import { writeFileAtomic } from '../providers/host/files.ts';
import { sendPing, type PingEvent } from '../providers/notify/deadman.ts';

export interface PingNote {
  readonly name: string;
  readonly on: DeadmanConfig['on'];
  readonly at: string;
  readonly event: PingEvent;
  readonly status: 'sent' | 'failed';
  readonly error?: string;
}

export const pingName = ({ name, on }: Pick<DeadmanConfig, 'name' | 'on'>): string => name ?? on;

/** All attempts of one ping together take no longer: whoever waits for it has more to do. */
const patienceMs = 15_000;
/** The begin of a run waits less: its end is what counts. */
const startPatienceMs = 3_000;

export async function ping(loaded: LoadedConfig, config: DeadmanConfig, event: PingEvent, text: string, options: { readonly run?: string } = {}): Promise<PingNote> {
  const name = pingName(config);
  const note = (rest: Pick<PingNote, 'status' | 'error'>): PingNote => ({ name, on: config.on, at: new Date().toISOString(), event, ...rest });
  const until = performance.now() + (event === 'start' ? startPatienceMs : patienceMs);
  let result = note({ status: 'failed', error: 'not sent' });
  for (let attempt = 0; attempt === 0 || performance.now() + 500 * 2 ** attempt < until; attempt++) {
    if (attempt > 0) await sleep(250 * 2 ** attempt);
    try {
      const url = resolveSecret(config.url, `deadman.${name}.url`);
      const timeoutMs = Math.max(100, Math.floor(Math.min(config.timeout, until - performance.now())));
      if (!(await sendPing({ name, url, style: config.style, event, text, run: options.run, timeoutMs }))) return note({ status: 'sent' });
      result = note({ status: 'sent' });
      break;
    } catch (error) {
      result = note({ status: 'failed', error: error instanceof Error ? error.message : String(error) });
      if (!isResurgoError(error, 'channelUnreachable')) break;
    }
  }
  await remember(loaded.stateDir, result).catch(() => undefined);
  return result;
}

/** Tells every ping of `on: backup` that is for the target. Never throws. */
export async function pingBackup(loaded: LoadedConfig, target: string, event: PingEvent, text: string, run: string): Promise<void> {
  const all = (loaded.config.deadman ?? []).filter((one) => one.on === 'backup' && (one.targets?.includes(target) ?? true));
  await Promise.all(all.map((one) => ping(loaded, one, event, text, { run })));
}

const directory = (stateDir: string): string => join(stateDir, 'deadman');

async function remember(stateDir: string, note: PingNote): Promise<void> {
  await mkdir(directory(stateDir), { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(directory(stateDir), `${note.name}.json`), `${JSON.stringify(note)}\n`);
}

/** The last ping of each that this host has sent. */
export async function readPings(stateDir: string): Promise<PingNote[]> {
  const names = (await readdir(directory(stateDir)).catch(() => [] as string[])).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
  const notes = await Promise.all(names.map(async (name) => {
    try {
      return [JSON.parse(await readFile(join(directory(stateDir), name), 'utf8')) as PingNote];
    } catch {
      return [];
    }
  }));
  return notes.flat();
}
