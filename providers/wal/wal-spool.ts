/**
 * WAL for a recovering server: segments are fetched, opened and laid ready ahead of it, already on the disk, and `restore_command` only renames them into
 * place. What it asks for that is not ready yet it waits for; what does not exist it knows from a list.
 */
import { watch } from 'node:fs';
import { chown, mkdir, open as openFile, readdir, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RecoveryPlan } from '../../domain/recovery.ts';
import type { ArchivedLineage, WalReader } from './archive-read.ts';
import { planHistories, planSegments, type PlannedSegment } from './segment-map.ts';

/** Bytes laid ready ahead of what was asked for last. */
const aheadBytes = 192 * 1024 * 1024;
/** Segments kept behind it that nobody took. */
const keptBehind = 4;
const atOnce = 3;

export interface SpoolOptions {
  readonly directory: string;
  readonly target: string;
  readonly plan: RecoveryPlan;
  readonly lineages: readonly ArchivedLineage[];
  readonly reader: WalReader;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly signal: AbortSignal;
  readonly onProgress: (segments: number) => void;
}

export class WalSpool {
  readonly #o: SpoolOptions;
  readonly #segments: readonly PlannedSegment[];
  readonly #index: ReadonlyMap<string, number>;
  /** `taken`: it was asked for while it lay ready, so it is gone now; asked for again, it is fetched again. */
  readonly #state = new Map<number, 'fetching' | 'ready' | 'taken'>();
  readonly #stop = new AbortController();
  #asked = 0;
  #running = 0;
  #loop: Promise<void> | undefined;
  failure: Error | undefined;

  /** @throws walGap when the archive lacks what the plan needs */
  constructor(options: SpoolOptions) {
    this.#o = options;
    this.#segments = planSegments(options);
    this.#index = new Map(this.#segments.map(({ file }, i) => [file, i]));
  }

  get segments(): number {
    return this.#segments.length;
  }

  /**
   * For postgresql.conf. `%f` and `%p` are the server's. It asks by touching `asked/<file>`, again and again while it waits, so that no question is lost.
   * 200: the server stops instead of taking it for the end of the WAL.
   */
  get restoreCommand(): string {
    const quoted = (...names: string[]): string => `'${join(this.#o.directory, ...names).replaceAll('%', '%%').replaceAll("'", `'\\''`)}'`;
    const wait = `i=0; until [ -e "$r" ]; do : > "$a"; [ -e ${quoted('failed')} ] && exit 200; i=$((i+1)); [ $i -gt 90000 ] && exit 200; sleep 0.02; done`;
    return `f=%f; r=${quoted('ready')}/$f; a=${quoted('asked')}/$f; case $f in *.history) exec cp "$r" "%p" 2>/dev/null;; esac; : > "$a"; if [ ! -e "$r" ]; then grep -qxF "$f" ${quoted('segments')} || exit 1; ${wait}; fi; exec mv -f "$r" "%p"`;
  }

  async start(): Promise<void> {
    const { directory, owner, reader } = this.#o;
    await rm(directory, { recursive: true, force: true });
    for (const path of [directory, ...['asked', 'ready'].map((name) => join(directory, name))]) {
      await mkdir(path, { recursive: true, mode: 0o700 });
      if (process.getuid?.() === 0) await chown(path, owner.uid, owner.gid);
    }
    await writeFile(join(directory, 'segments'), this.#segments.map(({ file }) => `${file}\n`).join(''), { mode: 0o644 });
    this.#fill();
    for (const [file, key] of planHistories(this.#o)) {
      const { plain } = await reader.read(key);
      await this.#lay(file, async (write) => { await write(plain, 0); });
    }
    this.#loop = this.#serve().catch(async (error: unknown) => {
      await this.#fail(error);
    });
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.failure ??= error instanceof Error ? error : new Error(String(error));
    await writeFile(join(this.#o.directory, 'failed'), '', { mode: 0o644 }).catch(() => undefined);
  }

  async #serve(): Promise<void> {
    const asked = join(this.#o.directory, 'asked');
    const signal = AbortSignal.any([this.#stop.signal, this.#o.signal]);
    let wake: (() => void) | undefined;
    const watcher = watch(asked, () => wake?.());
    try {
      while (!signal.aborted) {
        const changed = new Promise<void>((resolve) => { wake = resolve; });
        for (const file of await readdir(asked)) {
          await unlink(join(asked, file)).catch(() => undefined);
          await this.#answer(file);
        }
        await Promise.race([changed, sleep(200, undefined, { signal }).catch(() => undefined)]);
      }
    } finally {
      watcher.close();
    }
  }

  async #answer(file: string): Promise<void> {
    const index = this.#index.get(file);
    if (index === undefined) return;
    this.#asked = index;
    const state = this.#state.get(index);
    if (state === 'ready') this.#state.set(index, 'taken');
    // It went to the server before, which wants it once more.
    else if (state === 'taken') this.#state.delete(index);
    this.#o.onProgress(index + 1);
    this.#fill();
    await this.#dropBehind();
  }

  #fill(): void {
    const ahead = Math.max(4, Math.floor(aheadBytes / this.#o.plan.segmentBytes));
    for (let i = this.#asked; i < Math.min(this.#segments.length, this.#asked + ahead) && this.#running < atOnce && this.failure === undefined && !this.#stop.signal.aborted; i++) {
      if (this.#state.has(i)) continue;
      this.#state.set(i, 'fetching');
      this.#running++;
      this.#fetch(this.#segments[i] as PlannedSegment).then(
        () => { this.#state.set(i, 'ready'); },
        (error: unknown) => this.#fail(error),
      ).finally(() => {
        this.#running--;
        this.#fill();
      }).catch(() => undefined);
    }
  }

  async #fetch(segment: PlannedSegment): Promise<void> {
    await this.#lay(segment.file, async (write, file) => {
      for (const { key, piece } of segment.pieces) {
        const { plain } = await this.#o.reader.read(key);
        const from = piece.start < segment.start ? Number(segment.start - piece.start) : 0;
        const to = piece.end > segment.end ? plain.length - Number(piece.end - segment.end) : plain.length;
        await write(plain.subarray(from, to), piece.start > segment.start ? Number(piece.start - segment.start) : 0);
      }
      // What lies behind the point in time is zeros: there the server's WAL ends.
      await file.truncate(this.#o.plan.segmentBytes);
      // The server syncs each segment it is given before it reads it: with nothing left to write, that costs it nothing.
      await file.datasync();
    });
  }

  async #lay(name: string, fill: (write: (bytes: Uint8Array, at: number) => Promise<void>, file: Awaited<ReturnType<typeof openFile>>) => Promise<void>): Promise<void> {
    const { directory, owner } = this.#o;
    const temporary = join(directory, `.${name}`);
    const file = await openFile(temporary, 'w', 0o600);
    try {
      await fill(async (bytes, at) => {
        for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      }, file);
      if (process.getuid?.() === 0) await file.chown(owner.uid, owner.gid);
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, 'ready', name));
  }

  /** What the server skipped, as it does when it looks whether there is something newer. */
  async #dropBehind(): Promise<void> {
    for (const [i, state] of [...this.#state]) {
      if (state === 'fetching' || i >= this.#asked - keptBehind) continue;
      this.#state.delete(i);
      if (state === 'ready') await rm(join(this.#o.directory, 'ready', (this.#segments[i] as PlannedSegment).file), { force: true });
    }
  }

  /** Bytes of the WAL as the server was given them; for what stands at its end. */
  async bytesAt(lsn: bigint, length: number): Promise<Buffer> {
    const found = this.#segments.findLast(({ start, end }) => start <= lsn && lsn < end);
    if (found === undefined) return Buffer.alloc(0);
    const parts: Buffer[] = [];
    for (const { key, piece } of found.pieces) {
      if (piece.end <= lsn) continue;
      const { plain } = await this.#o.reader.read(key);
      const from = piece.start < lsn ? Number(lsn - piece.start) : 0;
      const to = piece.end > found.end ? plain.length - Number(piece.end - found.end) : plain.length;
      parts.push(Buffer.from(plain.subarray(from, to)));
      if (parts.reduce((sum, part) => sum + part.length, 0) >= length) break;
    }
    return Buffer.concat(parts).subarray(0, length);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    while (this.#running > 0) await sleep(20);
    await rm(this.#o.directory, { recursive: true, force: true, maxRetries: 3, retryDelay: 50 });
  }
}

export async function ownerOf(dataDir: string): Promise<{ uid: number; gid: number }> {
  const { uid, gid } = await stat(dataDir);
  return { uid, gid };
}
