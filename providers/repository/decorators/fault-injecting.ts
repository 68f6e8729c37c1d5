import { type ErrorCode, ResurgoError } from '../../../domain/errors.ts';
import type { ObjectInfo, ObjectStore, PutOptions } from '../../../domain/ports.ts';
import { cancelled, sleep, throwIfAborted } from '../abort.ts';
import { ForwardingStore, type GetOptions } from './forwarding.ts';
import type { Operation } from './recording.ts';

/** What goes wrong. */
export type Fault =
  /** Nothing happens and the call fails. */
  | { readonly kind: 'fail'; readonly code?: ErrorCode }
  /** It takes effect and the call fails: the answer was lost. */
  | { readonly kind: 'answer-lost'; readonly code?: ErrorCode }
  /** No answer until the signal fires, or for so long, milliseconds. */
  | { readonly kind: 'timeout'; readonly ms?: number }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Acknowledged, but only the first bytes are kept (put) or given (get). */
  | { readonly kind: 'short'; readonly bytes: number }
  /** The call fails, and takes effect so much later, milliseconds (put, delete): a time-out of which nobody knows what became. */
  | { readonly kind: 'late'; readonly ms: number }
  /** Acknowledged and not kept (put, delete). */
  | { readonly kind: 'forget' }
  /** The answer knows of nothing: no objects (lists), not there (get, head). */
  | { readonly kind: 'nothing' }
  /** The answer breaks off after so many entries (list), default none. */
  | { readonly kind: 'torn'; readonly entries?: number }
  /** One bit differs in what is kept (put) or given (get). `at`: byte, default the middle. */
  | { readonly kind: 'corrupt'; readonly at?: number }
  /** Runs something, for example a kill, before the call goes on. */
  | { readonly kind: 'run'; readonly action: () => Promise<void> | void };

export interface FaultRule {
  readonly fault: Fault;
  /** Default: any. */
  readonly operation?: Operation;
  /** The n-th call (from 1) of those that fit the rest of the rule. Without: every one. */
  readonly at?: number;
  /** By key or prefix (the first key of a delete). */
  readonly key?: RegExp | ((key: string) => boolean);
  /** How often at most. Default: once with `at`, else always. */
  readonly times?: number;
}

/** A store that breaks where it is told to. Calls are counted, so that a sweep can put one fault at every position in turn. */
export class FaultInjectingStore extends ForwardingStore {
  readonly #rules: { rule: FaultRule; seen: number; fired: number }[];
  #late = new Set<Promise<unknown>>();
  /** Every call so far, in order. */
  readonly trace: { readonly operation: Operation; readonly key: string }[] = [];

  constructor(inner: ObjectStore, rules: readonly FaultRule[] = []) {
    super(inner);
    this.#rules = rules.map((rule) => ({ rule, seen: 0, fired: 0 }));
  }

  /** Calls so far, of any operation. */
  get calls(): number {
    return this.trace.length;
  }

  /** How often a fault was injected. */
  get fired(): number {
    return this.#rules.reduce((sum, r) => sum + r.fired, 0);
  }

  add(rule: FaultRule): void {
    this.#rules.push({ rule, seen: 0, fired: 0 });
  }

  clear(): void {
    this.#rules.length = 0;
  }

  override async put(key: string, body: Uint8Array, options?: PutOptions): Promise<void> {
    const fault = await this.#before('put', key, options?.signal);
    if (fault?.kind === 'forget') return;
    if (fault?.kind === 'late') this.#later(fault.ms, `put ${key}`, Buffer.from(body), async (copy) => super.put(key, copy, options?.ifAbsent === true ? { ifAbsent: true } : {}));
    await super.put(key, damage(fault, body), options);
    this.#after(fault, `put ${key}`);
  }

  override async get(key: string, options?: GetOptions): Promise<Buffer> {
    const fault = await this.#before('get', key, options?.signal);
    if (fault?.kind === 'nothing') throw new ResurgoError('objectMissing', `Injected fault: ${key} is not in repository ${this.name}.`);
    const body = await super.get(key, options);
    this.#after(fault, `get ${key}`);
    return Buffer.from(damage(fault, body));
  }

  override async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined> {
    const fault = await this.#before('head', key, signal);
    if (fault?.kind === 'nothing') return undefined;
    const info = await super.head(key, signal);
    this.#after(fault, `head ${key}`);
    return info;
  }

  override async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo> {
    const fault = await this.#before('list', prefix, signal);
    if (fault?.kind === 'nothing') return;
    let left = fault?.kind === 'torn' ? (fault.entries ?? 0) : Infinity;
    for await (const info of super.list(prefix, signal)) {
      if (left-- <= 0) throw broken(undefined, `list ${prefix} (broke off)`);
      yield info;
    }
    if (fault?.kind === 'torn') throw broken(undefined, `list ${prefix} (broke off)`);
    this.#after(fault, `list ${prefix}`);
  }

  override async listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]> {
    const fault = await this.#before('listDirectories', prefix, signal);
    if (fault?.kind === 'nothing') return [];
    if (fault?.kind === 'torn') throw broken(undefined, `list ${prefix} (broke off)`);
    const names = await super.listDirectories(prefix, signal);
    this.#after(fault, `list ${prefix}`);
    return names;
  }

  override async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    const fault = await this.#before('delete', keys[0] ?? '', signal);
    if (fault?.kind === 'forget') return;
    if (fault?.kind === 'late') this.#later(fault.ms, `delete ${keys[0] ?? ''}`, keys, async (gone) => super.delete(gone));
    await super.delete(keys, signal);
    this.#after(fault, `delete ${keys[0] ?? ''}`);
  }

  override async sweepTemporary(olderThanMs: number, signal?: AbortSignal, prefix?: string): Promise<number> {
    const fault = await this.#before('sweepTemporary', prefix ?? '', signal);
    const swept = await super.sweepTemporary(olderThanMs, signal, prefix);
    this.#after(fault, `sweep ${prefix ?? ''}`);
    return swept;
  }

  /** Resolves when what comes late has come. */
  async settled(): Promise<void> {
    await Promise.all(this.#late);
  }

  #later<T>(ms: number, what: string, value: T, effect: (value: T) => Promise<void>): never {
    const coming = sleep(ms, undefined, what).then(async () => effect(value)).catch(() => undefined);
    this.#late.add(coming);
    void coming.finally(() => this.#late.delete(coming));
    throw broken(undefined, `${what} (no answer)`);
  }

  async #before(operation: Operation, key: string, signal: AbortSignal | undefined): Promise<Fault | undefined> {
    this.trace.push({ operation, key });
    const fault = this.#choose(operation, key);
    switch (fault?.kind) {
      case 'fail':
        throw broken(fault.code, `${operation} ${key}`);
      case 'timeout':
        await hang(fault.ms, signal, `${operation} ${key}`);
        throw broken(undefined, `${operation} ${key} (no answer)`);
      case 'delay':
        await sleep(fault.ms, signal, `${operation} ${key}`);
        return undefined;
      case 'run':
        await fault.action();
        return undefined;
      default:
        return fault;
    }
  }

  #after(fault: Fault | undefined, what: string): void {
    if (fault?.kind === 'answer-lost') throw broken(fault.code, `${what} (answer lost)`);
  }

  #choose(operation: Operation, key: string): Fault | undefined {
    for (const entry of this.#rules) {
      const { rule } = entry;
      if (rule.operation !== undefined && rule.operation !== operation) continue;
      if (rule.key !== undefined && !(rule.key instanceof RegExp ? rule.key.test(key) : rule.key(key))) continue;
      entry.seen++;
      if (rule.at !== undefined && entry.seen < rule.at) continue;
      if (entry.fired >= (rule.times ?? (rule.at === undefined ? Infinity : 1))) continue;
      entry.fired++;
      return rule.fault;
    }
    return undefined;
  }
}

const broken = (code: ErrorCode | undefined, what: string): ResurgoError =>
  new ResurgoError(code ?? 'repositoryUnreachable', `Injected fault: ${what}.`);

async function hang(ms: number | undefined, signal: AbortSignal | undefined, what: string): Promise<void> {
  if (ms !== undefined) return sleep(ms, signal, what);
  throwIfAborted(signal, what);
  await new Promise<never>((_, reject) =>
    signal?.addEventListener(
      'abort',
      () => {
        reject(cancelled(what, signal.reason));
      },
      { once: true },
    ),
  );
}

function damage(fault: Fault | undefined, body: Uint8Array): Uint8Array {
  if (fault?.kind === 'short') return body.subarray(0, fault.bytes);
  if (fault?.kind !== 'corrupt' || body.length === 0) return body;
  const copy = Buffer.from(body);
  const at = Math.min(fault.at ?? copy.length >> 1, copy.length - 1);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
