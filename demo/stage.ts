import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { formatBytes } from '../config/units.ts';
import { nameTempDirs, stopAll, tempDir, toolsEnv } from '../test/support/index.ts';
import { DemoError, type RunOptions } from './children.ts';
import type { DemoOptions } from './options.ts';
import type { Screen } from './screen.ts';

/** Free space a database of 1 MiB needs at the end: itself, WAL, backups, staging, and the copies that are compared. */
const spaceFactor = 7;

/** Where the demo plays: a directory, an environment, logs, and what has to be ended. */
export class Stage {
  readonly screen: Screen;
  readonly options: DemoOptions;
  readonly signal: AbortSignal;
  /** Working directory of the person in the demo: configuration, keys, backups. */
  readonly dir: string;
  readonly logs: string;
  /** For everything that is started: nothing of the caller's own Temporal, AWS or PostgreSQL settings. */
  readonly env: NodeJS.ProcessEnv;
  private readonly endings: (() => Promise<void>)[] = [];
  private readonly logFiles = new Map<string, string>();

  constructor(screen: Screen, options: DemoOptions, signal: AbortSignal) {
    this.screen = screen;
    this.options = options;
    this.signal = signal;
    process.env['TMPDIR'] = roomyDirectory(options.size * spaceFactor * 1024 * 1024);
    nameTempDirs('demo');
    this.dir = tempDir('shop').path;
    this.logs = join(this.dir, 'logs');
    mkdirSync(this.logs, { mode: 0o700 });
    this.env = cleanEnvironment(this.dir);
  }

  get running(): RunOptions {
    return { env: this.env, cwd: this.dir, signal: this.signal };
  }

  /** Run when everything is stopped, the newest first. */
  onStop(ending: () => Promise<void>): void {
    this.endings.unshift(ending);
  }

  /** A log that is worth keeping when the demo fails. */
  keepsLog(name: string, file: string): void {
    this.logFiles.set(name, file);
  }

  /** Copies the logs out of what is about to be removed; where they are now. */
  saveLogs(): string | undefined {
    try {
      const place = mkdtempSync(join(tmpdir(), 'resurgo-demo-logs-'));
      cpSync(this.logs, place, { recursive: true });
      for (const [name, file] of this.logFiles) if (existsSync(file)) cpSync(file, join(place, name));
      return place;
    } catch {
      return undefined;
    }
  }

  /** Ends and removes everything. Safe to call twice. */
  async stop(): Promise<void> {
    for (const ending of this.endings.splice(0)) await ending().catch(() => undefined);
    await stopAll();
    // With what a person may have put there, after `--keep`.
    rmSync(dirname(this.dir), { recursive: true, force: true });
  }

  /** Paths of the demo as a person there would write them: short, and the same in every run. */
  tidy(line: string): string {
    return line.replaceAll(`${this.dir}/`, './').replaceAll(`${dirname(this.dir)}/`, '…/');
  }
}

/** The temp directory, or another with enough room. @throws DemoError when none has */
function roomyDirectory(needed: number): string {
  const found: string[] = [];
  for (const dir of [...new Set([tmpdir(), '/tmp', '/var/tmp'])]) {
    try {
      const { bavail, bsize } = statfsSync(dir);
      // Sockets lie below it, whose paths may have about 100 characters.
      if (bavail * bsize >= needed && dir.length < 40) return dir;
      found.push(`${dir} has ${formatBytes(bavail * bsize)}`);
    } catch {
      // Not there.
    }
  }
  throw new DemoError(
    `The demo needs about ${formatBytes(needed)} of free space (${found.join(', ')}). Set TMPDIR to a short path with more, or give a smaller --size.`,
  );
}

function cleanEnvironment(dir: string): NodeJS.ProcessEnv {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TEMPORAL_|AWS_|PG|RESURGO_|npm_)/.test(name)),
  );
  return {
    ...env,
    // No temporal.toml and no .pgpass of the person who runs this.
    XDG_CONFIG_HOME: join(dir, 'none'),
    HOME: dir,
    TEMPORAL_CLI_PATH: toolsEnv().temporal,
  };
}
