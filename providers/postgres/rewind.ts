import { chmod, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { formatConninfo } from '../../domain/conninfo.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { OnProgress } from '../../domain/ports.ts';
import { runTool } from '../host/child.ts';
import { writeFileAtomic } from '../host/files.ts';
import { assertNotRunning } from './cluster-processes.ts';
import { readControlFile } from './control-file.ts';
import type { PostgresConnection } from './connection.ts';
import { blockStart, liftBlock, readFenceMark } from './fence-block.ts';
import { startLocalServer } from './local-server.ts';
import { asOwner, majorOf } from './server-control.ts';
import { replayToEnd } from './end-of-wal.ts';
import { configureStandby, readOwnFiles, writeOwnFiles, type OwnFiles, type StandbyConfig } from './standby-config.ts';
import { findPgTool } from './tools.ts';

export interface RewindOptions {
  readonly dataDir: string;
  readonly primary: PostgresConnection;
  readonly upstream: { readonly host: string; readonly port: number };
  readonly config: StandbyConfig;
  readonly toolDirs: readonly string[];
  readonly run: string;
  readonly epoch: number;
  /** Where the server's own files are kept meanwhile: pg_rewind overwrites them with the primary's. */
  readonly journal: string;
  readonly signal?: AbortSignal | undefined;
  readonly report: OnProgress;
}

interface Journal {
  readonly mode: number;
  readonly files: OwnFiles;
}

/**
 * Brings a stopped old primary onto the timeline of the new one by pg_rewind, and makes it a standby. A start is blocked by the directory's mode all
 * the while, for pg_rewind takes `standby.signal` away and a supervisor would start a half-rewound primary. Settings and pg_hba.conf stay its own.
 * Again after a crash it begins anew from what it had saved.
 * @throws rewindRefused with pg_rewind's words, destinationBusy, toolMissing, toolVersion, cancelled
 */
export async function rewindStandby(options: RewindOptions): Promise<string> {
  const { dataDir, signal, report } = options;
  await assertNotRunning(dataDir);
  const major = await majorOf(dataDir);
  const tool = await findPgTool('pg_rewind', major, { dirs: options.toolDirs });
  const saved = await savedJournal(options);
  const mark = await blockStart(dataDir, { run: options.run, epoch: options.epoch, at: new Date().toISOString(), why: 'it is being rewound' });
  const { state } = await readControlFile(dataDir);
  // Also one that was shut down in recovery: an attempt that died may have stopped it before it had replayed what it wrote.
  if (state !== 'shutDown') {
    report({ phase: 'recover it up to the end of its own WAL' });
    // `standby.signal` is there: for this moment, too, it could only come up read-only.
    await chmod(dataDir, mark.mode);
    try {
      const server = await startLocalServer({ dataDir, toolDirs: options.toolDirs, knownRole: options.primary.user, settings: { hot_standby: 'on', recovery_target: '', recovery_target_action: 'pause' }, signal });
      try {
        // pg_rewind looks at the end its control file tells: before the fork it would say that nothing is to be done.
        await replayToEnd(server.connection, { signal });
      } finally {
        await server.stop();
      }
    } finally {
      await chmod(dataDir, mark.mode | 0o001);
    }
  }
  report({ phase: 'rewind' });
  const { PGHOST: _, PGPORT: __, ...env } = options.primary.toolEnv('postgres');
  let words = '';
  try {
    const source = formatConninfo(new Map([['host', options.upstream.host], ['port', String(options.upstream.port)], ['dbname', 'postgres'], ['application_name', 'resurgo-rewind']]));
    const { stderr, stdout } = await runTool({ command: tool.path, args: ['--target-pgdata', dataDir, '--source-server', source, '--no-ensure-shutdown', '--progress'], env, cwd: '/', signal, ...(await asOwner(dataDir)), onStderrLine: (line) => { report({ phase: 'rewind', note: line.split('\r').at(-1)?.slice(0, 120) ?? '' }); } });
    words = /no rewind required/.test(stdout + stderr) ? 'no rewind was needed' : 'rewound';
  } catch (error) {
    if (!isResurgoError(error, 'toolFailed')) throw error;
    throw new ResurgoError('rewindRefused', `pg_rewind could not bring ${dataDir} onto the new timeline: ${error.message}`, { cause: error });
  }
  // Standby first, startable last.
  await configureStandby(dataDir, options.config);
  await writeOwnFiles(dataDir, saved.files);
  await configureStandby(dataDir, options.config);
  if ((await readFenceMark(dataDir)) === undefined) await chmod(dataDir, saved.mode);
  else await liftBlock(dataDir, { asStandby: true });
  await rm(options.journal, { force: true });
  return words;
}

async function savedJournal({ journal, dataDir }: RewindOptions): Promise<Journal> {
  const text = await readFile(journal, 'utf8').catch(() => undefined);
  if (text !== undefined) return JSON.parse(text) as Journal;
  const mark = await readFenceMark(dataDir);
  const files = Object.fromEntries(Object.entries(await readOwnFiles(dataDir)).map(([name, content]) => [name, content.split('\n').filter((line) => !line.endsWith('# resurgo fence')).join('\n')]));
  const made: Journal = { mode: mark?.mode ?? (await stat(dataDir)).mode & 0o7770, files };
  await mkdir(dirname(journal), { recursive: true, mode: 0o700 });
  await writeFileAtomic(journal, JSON.stringify(made));
  return made;
}
