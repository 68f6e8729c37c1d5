import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KnownBackup } from './judge.ts';

type Facts = Omit<KnownBackup, 'repositories'>;

/**
 * What the manifests that `status` read last time said, so that a second look at many targets reads none. Manifests never change; only for
 * showing; safe to delete at any time. Another set of trusted hosts begins anew.
 */
export class Remembered {
  readonly #file: string;
  readonly #trust: string;
  readonly #known: ReadonlyMap<string, Facts>;
  readonly #used = new Map<string, Facts>();
  #changed = false;

  private constructor(file: string, trust: string, known: ReadonlyMap<string, Facts>) {
    this.#file = file;
    this.#trust = trust;
    this.#known = known;
  }

  static async open(file: string, trusted: readonly string[]): Promise<Remembered> {
    const trust = createHash('sha256').update([...trusted].sort().join('\n')).digest('hex');
    try {
      const text = await readFile(file, 'utf8');
      // After a power loss the file may be torn, which its first line tells.
      const body = text.slice(65);
      if (text.slice(0, 64) !== digest(body)) return new Remembered(file, trust, new Map());
      const kept = JSON.parse(body) as { trust: string; facts: [string, Facts][] };
      return new Remembered(file, trust, new Map(kept.trust === trust ? kept.facts : []));
    } catch {
      return new Remembered(file, trust, new Map());
    }
  }

  get(key: string): Facts | undefined {
    const facts = this.#known.get(key);
    if (facts !== undefined) this.#used.set(key, facts);
    return facts;
  }

  set(key: string, facts: Facts): void {
    this.#changed = true;
    this.#used.set(key, facts);
  }

  /** Keeps what was used this time. One that cannot be written is only slower. */
  async keep(): Promise<void> {
    if (!this.#changed && this.#used.size === this.#known.size) return;
    const body = JSON.stringify({ trust: this.#trust, facts: [...this.#used] });
    const temporary = `${this.#file}.${randomBytes(6).toString('hex')}`;
    try {
      await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
      await writeFile(temporary, `${digest(body)}\n${body}`, { mode: 0o600, flag: 'wx' });
      await rename(temporary, this.#file);
    } catch {
      await unlink(temporary).catch(() => undefined);
    }
  }
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
