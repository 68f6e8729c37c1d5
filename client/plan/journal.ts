/** What a plan run without Temporal remembers: one line of JSON an event, on disk before anything follows from it. */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, truncateSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { ResurgoError } from '../../domain/errors.ts';
import type { PlanMode, PlanSnapshot } from '../../domain/plan/model.ts';
import type { RunFacts } from '../../domain/plan/result.ts';
import type { PlanEvent } from '../../domain/plan/state.ts';
import { identify, isAlive, type ProcessIdentity } from '../../providers/host/processes.ts';

export interface JournalHead {
  readonly type: 'begin';
  readonly snapshot: PlanSnapshot;
  readonly facts: RunFacts;
  readonly mode: PlanMode;
  readonly fence: string;
  readonly configHash: string;
}
/** `started`: the effect of that command is about to begin. */
type Line = JournalHead | { readonly type: 'event'; readonly event: PlanEvent } | { readonly type: 'started'; readonly key: string };

const directory = (stateDir: string): string => path.join(stateDir, 'rescue-plans');
const slug = (plan: string, target: string | undefined): string => createHash('sha256').update(`${plan}\0${target ?? ''}`).digest('hex').slice(0, 16);

export class Journal {
  readonly file: string;
  readonly head: JournalHead;
  readonly events: PlanEvent[];
  readonly started: Set<string>;
  private readonly descriptor: number;

  private constructor(file: string, head: JournalHead, events: PlanEvent[], started: Set<string>) {
    this.file = file;
    this.head = head;
    this.events = events;
    this.started = started;
    this.descriptor = openSync(file, 'a', 0o600);
  }

  /** The run of this plan and target that was begun here and has not ended. @throws configInvalid when the journal is damaged before its last line */
  static open(stateDir: string, plan: string, target: string | undefined): Journal | undefined {
    const file = path.join(directory(stateDir), `${slug(plan, target)}.open.jsonl`);
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    // A line without its end was being written when the machine died: nothing followed from it.
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) truncateSync(file, Buffer.byteLength(whole));
    let lines: Line[];
    try {
      lines = whole.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Line);
    } catch (error) {
      throw new ResurgoError('configInvalid', `the journal ${file} is damaged; look at it, and move it away to begin anew`, { cause: error });
    }
    const [head, ...rest] = lines;
    if (head?.type !== 'begin') {
      unlinkSync(file);
      return undefined;
    }
    return new Journal(file, head, rest.flatMap((line) => (line.type === 'event' ? [line.event] : [])), new Set(rest.flatMap((line) => (line.type === 'started' ? [line.key] : []))));
  }

  static create(stateDir: string, head: JournalHead): Journal {
    const dir = directory(stateDir);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const file = path.join(dir, `${slug(head.snapshot.plan, head.snapshot.target)}.open.jsonl`);
    const journal = new Journal(file, head, [], new Set());
    journal.write(head);
    syncDirectory(dir);
    return journal;
  }

  append(event: PlanEvent): void {
    this.write({ type: 'event', event });
  }

  begin(key: string): void {
    this.started.add(key);
    this.write({ type: 'started', key });
  }

  /** The run has ended: kept under its own name. */
  close(): string {
    closeSync(this.descriptor);
    const kept = path.join(path.dirname(this.file), `${this.head.snapshot.plan}-${this.head.facts.id}.jsonl`);
    renameSync(this.file, kept);
    syncDirectory(path.dirname(kept));
    return kept;
  }

  private write(line: Line): void {
    writeSync(this.descriptor, `${JSON.stringify(line)}\n`);
    fsyncSync(this.descriptor);
  }
}

function syncDirectory(dir: string): void {
  const descriptor = openSync(dir, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** One rescue of a plan and target at a time on this host; the lock of a dead process is nobody's. @throws lockBusy */
export async function lockRun(stateDir: string, plan: string, target: string | undefined): Promise<() => void> {
  const dir = directory(stateDir);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = path.join(dir, `${slug(plan, target)}.lock`);
  const me = await identify(process.pid);
  for (let tries = 0; ; tries++) {
    try {
      writeFileSync(file, JSON.stringify(me ?? { pid: process.pid, startTime: '' }), { flag: 'wx', mode: 0o600 });
      return () => {
        unlinkSync(file);
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || tries > 5) throw error;
    }
    const holder = parseHolder(file);
    if (holder !== undefined && (await isAlive(holder))) throw new ResurgoError('lockBusy', `process ${String(holder.pid)} runs plan ${plan}${target === undefined ? '' : ` on ${target}`} in a rescue already`);
    try {
      unlinkSync(file);
    } catch {
      // Another one was quicker.
    }
  }
}

function parseHolder(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

/** Plans that wait to be resumed here. */
export const openJournals = (stateDir: string): string[] => {
  try {
    return readdirSync(directory(stateDir)).filter((name) => name.endsWith('.open.jsonl'));
  } catch {
    return [];
  }
};
