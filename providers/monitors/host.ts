import { readFile, statfs } from 'node:fs/promises';
import type { Seen } from './observe.ts';

export interface HostLook { readonly kind: 'host'; readonly what: 'cpu' | 'memory' | 'disk'; readonly path: string; readonly id: string }

/** Busy and total ticks at the look before, by monitor. */
const before = new Map<string, { busy: number; total: number }>();
const percent = (part: number, whole: number): number => Math.round((1000 * part) / whole) / 10;

export async function lookHost({ what, path, id }: HostLook): Promise<Seen> {
  if (what === 'disk') {
    const { blocks, bfree, bavail } = await statfs(path);
    if (!(blocks > 0)) return { state: 'unknown', value: null, detail: `the file system of ${path} has no size` };
    // As `df` counts: what only root may use is no room.
    const value = percent(blocks - bfree, blocks - bfree + bavail);
    return { state: 'ok', value, detail: `${String(value)} % of the file system of ${path} is used` };
  }
  if (what === 'memory') {
    const text = await readFile('/proc/meminfo', 'utf8');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? NaN);
    const total = field('MemTotal');
    const available = field('MemAvailable');
    if (!(total > 0) || Number.isNaN(available)) return { state: 'unknown', value: null, detail: '/proc/meminfo does not say' };
    const value = percent(total - available, total);
    return { state: 'ok', value, detail: `${String(value)} % of memory is used` };
  }
  const ticks = (/^cpu +(.*)$/m.exec(await readFile('/proc/stat', 'utf8'))?.[1] ?? '').split(' ').map(Number).slice(0, 8);
  const total = ticks.reduce((sum, each) => sum + each, 0);
  const now = { total, busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0) };
  const last = before.get(id);
  before.set(id, now);
  if (last === undefined || now.total <= last.total) return { state: 'unknown', value: null, detail: 'first look' };
  const value = percent(now.busy - last.busy, now.total - last.total);
  return { state: 'ok', value, detail: `${String(value)} % of the processors is used` };
}
