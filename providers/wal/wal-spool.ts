/**
 * WAL for a recovering server: segments are fetched, opened and laid ready ahead of it, and `restore_command` is a plain `cp`. What it asks for that is
 * not ready yet it waits for; what does not exist it is told so.
 */
import { watch } from 'node:fs';
import { chown, mkdir, open as openFile, readdir, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatLsn, parseLsn, segmentFile } from '../../domain/lsn.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { RecoveryPlan } from '../../domain/recovery.ts';
import { cover, type WalPiece } from '../../domain/wal.ts';
import type { ArchivedLineage, WalReader } from './archive-read.ts';
import { historyFile, timelineName, timelinePrefix } from './layout.ts';

/** Bytes laid ready ahead of what was asked for last. */
const aheadBytes = 384 * 1024 * 1024;
/** Segments kept behind it: a server asks again for the last ones. */
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

interface Segment {
  readonly file: string;
  readonly start: bigint;
  readonly end: bigint;
  readonly pieces: readonly { readonly key: string; readonly piece: WalPiece }[];
}

export class WalSpool {
  readonly #o: SpoolOptions;
  readonly #segments: Segment[] = [];
  readonly #index = new Map<string, number>();
  readonly #histories = new Map<string, string>();
  readonly #state = new Map<number, 'fetching' | 'ready'>();
  readonly #stop = new AbortController();
  #asked = 0;
  #running = 0;
  #loop: Promise<void> | undefined;
  failure: Error | undefined;

  constructor(options: SpoolOptions) {
    this.#o = options;
    const { plan } = options;
    const bytes = BigInt(plan.segmentBytes);
    const cutAt = new Map<number, bigint>();
    for (const step of plan.steps) cutAt.set(step.timeline, parseLsn(step.to));
    for (const step of plan.steps) {
      const held = this.#pieces(step.timeline);
      const to = cutAt.get(step.timeline) as bigint;
      for (let start = parseLsn(step.from) - (parseLsn(step.from) % bytes); start < to; start += bytes) {
        const end = start + bytes < to ? start + bytes : to;
        const chosen = cover(held.map(({ piece }) => piece), start, end);
        if (chosen === undefined) throw new ResurgoError('walGap', `WAL ${formatLsn(start)} to ${formatLsn(end)} of timeline ${String(step.timeline)} is not in the archive any more`);
        const byName = new Map(held.map((one) => [one.piece, one]));
        const file = segmentFile(step.timeline, start, plan.segmentBytes);
        if (this.#index.has(file)) continue;
        this.#index.set(file, this.#segments.length);
        this.#segments.push({ file, start, end, pieces: chosen.map((piece) => byName.get(piece) as { key: string; piece: WalPiece }) });
      }
    }
    this.#findHistories();
  }

  get segments(): number {
    return this.#segments.length;
  }

  /** Of the plan's lineage and those it came from. */
  #pieces(timeline: number): { key: string; piece: WalPiece }[] {
    const { plan, lineages, target } = this.#o;
    const found: { key: string; piece: WalPiece }[] = [];
    const seen = new Set<string>();
    for (let at = lineages.find(({ id }) => id === plan.lineage); at !== undefined && !seen.has(at.id); ) {
      seen.add(at.id);
      const prefix = timelinePrefix(target, plan.systemId, at.id, timeline);
      const held = at.timelines.find((one) => one.timeline === timeline);
      found.push(...(held?.pieces ?? []).filter((piece) => piece.key !== undefined).map((piece) => ({ key: `${prefix}${piece.name}`, piece })));
      const parent: string | undefined = at.parent?.lineage;
      at = lineages.find(({ id }) => id === parent);
    }
    return found;
  }

  /** All that are known: a recovered server takes the first number that is free, so none is taken twice. */
  #findHistories(): void {
    const { plan, lineages, target } = this.#o;
    const own = lineages.filter(({ id }) => id === plan.lineage);
    for (const lineage of [...own, ...lineages]) for (const { timeline, hasHistory } of lineage.timelines) {
      const file = `${timelineName(timeline)}.history`;
      if (hasHistory && !this.#histories.has(file)) this.#histories.set(file, `${timelinePrefix(target, plan.systemId, lineage.id, timeline)}${historyFile}`);
    }
  }

  /** For postgresql.conf. `%f` and `%p` are the server's. */
  get restoreCommand(): string {
    const quoted = (name: string): string => `'${join(this.#o.directory, name).replaceAll('%', '%%').replaceAll("'", `'\\''`)}/%f'`;
    const failed = `'${join(this.#o.directory, 'failed').replaceAll('%', '%%').replaceAll("'", `'\\''`)}'`;
    // 200: the server stops instead of taking it for the end of the WAL.
    return `: > ${quoted('asked')}; i=0; until [ -e ${quoted('ready')} ]; do [ -e ${quoted('none')} ] && exit 1; [ -e ${failed} ] && exit 200; i=$((i+1)); [ $i -gt 36000 ] && exit 200; sleep 0.05; done; cp ${quoted('ready')} "%p"`;
  }

  async start(): Promise<void> {
    const { directory, owner } = this.#o;
    await rm(directory, { recursive: true, force: true });
    for (const path of [directory, ...['asked', 'ready', 'none'].map((name) => join(directory, name))]) {
      await mkdir(path, { recursive: true, mode: 0o700 });
      if (process.getuid?.() === 0) await chown(path, owner.uid, owner.gid);
    }
    this.#loop = this.#serve().catch(async (error: unknown) => {
      await this.#fail(error);
    });
    this.#fill();
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
    const history = this.#histories.get(file);
    if (index !== undefined) {
      this.#asked = index;
      this.#o.onProgress(index + 1);
      // Not ready and not on its way: it was there before, or lies behind where we are.
      this.#fill();
      await this.#dropBehind();
    } else if (history !== undefined) {
      const { plain } = await this.#o.reader.read(history);
      await this.#lay(file, async (write) => { await write(plain, 0); });
    } else await writeFile(join(this.#o.directory, 'none', file), '', { mode: 0o644 });
  }

  #fill(): void {
    const ahead = Math.max(4, Math.floor(aheadBytes / this.#o.plan.segmentBytes));
    for (let i = this.#asked; i < Math.min(this.#segments.length, this.#asked + ahead) && this.#running < atOnce && this.failure === undefined && !this.#stop.signal.aborted; i++) {
      if (this.#state.has(i)) continue;
      this.#state.set(i, 'fetching');
      this.#running++;
      this.#fetch(this.#segments[i] as Segment).then(
        () => { this.#state.set(i, 'ready'); },
        (error: unknown) => this.#fail(error),
      ).finally(() => {
        this.#running--;
        this.#fill();
      }).catch(() => undefined);
    }
  }

  async #fetch(segment: Segment): Promise<void> {
    await this.#lay(segment.file, async (write, file) => {
      for (const { key, piece } of segment.pieces) {
        const { plain } = await this.#o.reader.read(key);
        const from = piece.start < segment.start ? Number(segment.start - piece.start) : 0;
        const to = piece.end > segment.end ? plain.length - Number(piece.end - segment.end) : plain.length;
        await write(plain.subarray(from, to), piece.start > segment.start ? Number(piece.start - segment.start) : 0);
      }
      // What lies behind the point in time is zeros: there the server's WAL ends.
      await file.truncate(this.#o.plan.segmentBytes);
    });
  }

  async #lay(name: string, fill: (write: (bytes: Uint8Array, at: number) => Promise<void>, file: Awaited<ReturnType<typeof openFile>>) => Promise<void>): Promise<void> {
    const { directory, owner } = this.#o;
    const temporary = join(directory, `.${name}`);
    const file = await openFile(temporary, 'w', 0o600);
    try {
      await fill(async (bytes, at) => { await file.write(bytes, 0, bytes.length, at); }, file);
      if (process.getuid?.() === 0) await file.chown(owner.uid, owner.gid);
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, 'ready', name));
  }

  async #dropBehind(): Promise<void> {
    for (const [i, state] of [...this.#state]) {
      if (state !== 'ready' || i >= this.#asked - keptBehind) continue;
      this.#state.delete(i);
      await rm(join(this.#o.directory, 'ready', (this.#segments[i] as Segment).file), { force: true });
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
