/** What is left: database, storage, network, backups. Looks only, in parallel, each with its own time limit. */
import { statfs } from 'node:fs/promises';
import { lookup } from 'node:dns/promises';
import type { DamagePart, DamageReport } from '../domain/incident.ts';
import { membersOf, repositoriesFor } from '../config/lookup.ts';
import type { TargetConfig } from '../config/schema.ts';
import { resolveSecret } from '../config/secret.ts';
import { resolveConnection, withClient } from '../providers/postgres/connection.ts';
import { listBackups } from '../providers/repository/catalogue.ts';
import type { ActivityDeps } from './deps.ts';

const partMs = 8000;

export async function assessDamage(deps: ActivityDeps, input: { readonly target: string | null; readonly service: string }): Promise<DamageReport> {
  const begun = Date.now();
  const { config } = deps.loaded;
  const target = input.target !== null && Object.hasOwn(config.targets, input.target) ? config.targets[input.target] : undefined;
  const name = input.target ?? input.service;
  const signal = AbortSignal.timeout(partMs * 2);
  const parts = await Promise.all([database(target, signal), storage(deps, target), network(target), backups(deps, target === undefined ? undefined : name, signal)]);
  const { scenario, why } = judge(parts);
  return { at: new Date(begun).toISOString(), tookMs: Date.now() - begun, parts, scenario, why };
}

/** Total loss → full; damaged data → data restore; else partial. */
export function judge(parts: readonly DamagePart[]): Pick<DamageReport, 'scenario' | 'why'> {
  const of = (part: DamagePart['part']): DamagePart | undefined => parts.find((each) => each.part === part);
  const db = of('database');
  const store = of('storage');
  if (db?.state === 'damaged') return { scenario: 'data', why: `the data is damaged: ${db.detail}` };
  if (store?.state === 'damaged') return { scenario: 'data', why: `storage is damaged: ${store.detail}` };
  if (db?.state === 'lost' && (store?.state === 'lost' || of('network')?.state === 'lost')) return { scenario: 'full', why: `nothing of it answers: ${db.detail}; ${(store?.state === 'lost' ? store : of('network'))?.detail ?? ''}` };
  if (db?.state === 'lost') return { scenario: 'partial', why: `the database does not answer, its host does: ${db.detail}` };
  const list = (those: readonly DamagePart[]): string => those.map((each) => `${each.part}: ${each.detail}`).join('; ');
  const wrong = parts.filter(({ state }) => state !== 'ok' && state !== 'unknown');
  if (wrong.length > 0) return { scenario: 'partial', why: list(wrong) };
  // What could not be looked at is no damage, and not to be read as one.
  const unseen = parts.filter(({ state }) => state === 'unknown');
  return { scenario: 'partial', why: `${unseen.length === parts.length ? 'nothing could be looked at' : 'everything that was looked at answers'}${unseen.length === 0 ? '' : ` (not seen: ${list(unseen)})`}` };
}

const damageCodes = ['XX001', 'XX002', '58030'];

async function database(target: TargetConfig | undefined, signal: AbortSignal): Promise<DamagePart> {
  if (target?.type !== 'postgres') return { part: 'database', state: 'unknown', detail: 'no database of the configuration is named' };
  const members = membersOf(target);
  const found = await Promise.all(members.map(async (member) => {
    try {
      const connection = resolveConnection(resolveSecret(member.connection, member.name), member.password === undefined ? {} : { password: resolveSecret(member.password, member.name) });
      const failures = await withClient(connection, async (client) => Number((await client.query<{ n: string | null }>('select coalesce(sum(checksum_failures), 0) as n from pg_stat_database')).rows[0]?.n ?? 0), { signal: AbortSignal.any([signal, AbortSignal.timeout(partMs)]) });
      return failures > 0 ? { state: 'damaged' as const, detail: `${member.name} has ${String(failures)} page checksum failures` } : { state: 'ok' as const, detail: `${member.name} answers` };
    } catch (error) {
      const code = (error as { cause?: { code?: string } }).cause?.code ?? '';
      const message = error instanceof Error ? error.message : String(error);
      return { state: damageCodes.includes(code) ? ('damaged' as const) : ('lost' as const), detail: `${member.name}: ${message.slice(0, 150)}` };
    }
  }));
  const detail = found.map((each) => each.detail).join('; ').slice(0, 400);
  const damaged = found.find((each) => each.state === 'damaged');
  if (damaged !== undefined) return { part: 'database', state: 'damaged', detail: damaged.detail };
  const up = found.filter((each) => each.state === 'ok').length;
  return { part: 'database', state: up === found.length ? 'ok' : up > 0 ? 'degraded' : 'lost', detail };
}

/** The data directory where this host has it; else it cannot be told from here. */
async function storage(deps: ActivityDeps, target: TargetConfig | undefined): Promise<DamagePart> {
  const dirs = target?.type === 'postgres' ? membersOf(target).flatMap((member) => (member.dataDir === undefined || (member.host ?? target.host ?? deps.host) !== deps.host ? [] : [member.dataDir])) : [];
  if (dirs.length === 0) return { part: 'storage', state: 'unknown', detail: 'no data directory is on this host' };
  const found = await Promise.all(dirs.map(async (dir) => {
    try {
      const { blocks, bavail } = await statfs(dir);
      return bavail / blocks < 0.05 ? { state: 'degraded' as const, detail: `${dir}: less than 5 % free` } : { state: 'ok' as const, detail: `${dir} is there` };
    } catch (error) {
      return { state: (error as NodeJS.ErrnoException).code === 'EIO' ? ('damaged' as const) : ('lost' as const), detail: `${dir}: ${(error as NodeJS.ErrnoException).code ?? 'error'}` };
    }
  }));
  const worst = found.find((each) => each.state === 'damaged') ?? (found.every((each) => each.state === 'lost') ? found[0] : found.find((each) => each.state !== 'ok')) ?? found[0];
  return { part: 'storage', state: worst?.state === 'lost' && found.some((each) => each.state !== 'lost') ? 'degraded' : (worst?.state ?? 'unknown'), detail: found.map((each) => each.detail).join('; ').slice(0, 400) };
}

/** Whether the hosts still have names, and any port of them refuses rather than says nothing. */
async function network(target: TargetConfig | undefined): Promise<DamagePart> {
  if (target?.type !== 'postgres') return { part: 'network', state: 'unknown', detail: 'no host is named' };
  const hosts = [...new Set(membersOf(target).flatMap((member) => {
    try {
      return [resolveConnection(resolveSecret(member.connection, member.name)).host];
    } catch {
      return [];
    }
  }))];
  const found = await Promise.all(hosts.map(async (host) => {
    if (host.startsWith('/')) return { ok: true, detail: `${host} is local` };
    return lookup(host).then(() => ({ ok: true, detail: `${host} has an address` }), (error: unknown) => ({ ok: false, detail: `${host}: ${(error as NodeJS.ErrnoException).code ?? 'error'}` }));
  }));
  const good = found.filter((each) => each.ok).length;
  return { part: 'network', state: found.length === 0 ? 'unknown' : good === found.length ? 'ok' : good > 0 ? 'degraded' : 'lost', detail: found.map((each) => each.detail).join('; ') || 'no host is named' };
}

/** What could be restored from. */
async function backups(deps: ActivityDeps, target: string | undefined, signal: AbortSignal): Promise<DamagePart> {
  if (target === undefined) return { part: 'backups', state: 'unknown', detail: 'it is no target of the configuration' };
  const names = repositoriesFor(deps.loaded.config, target);
  const found = await Promise.all(names.map(async (name) => {
    try {
      const all = await listBackups(await deps.stores.open(name), target, signal);
      const good = all.filter((ref) => ref.givenUp === undefined && (ref.state.includes('verified') || ref.state.includes('proven')));
      return { ok: good.length > 0, detail: good.length === 0 ? `${name} has no verified backup` : `${name}: ${String(good.length)} verified, newest ${good.map((ref) => ref.name).sort().at(-1) ?? ''}` };
    } catch (error) {
      return { ok: false, detail: `${name}: ${error instanceof Error ? error.message.slice(0, 120) : String(error)}` };
    }
  }));
  const good = found.filter((each) => each.ok).length;
  return { part: 'backups', state: good === found.length ? 'ok' : good > 0 ? 'degraded' : 'lost', detail: found.map((each) => each.detail).join('; ').slice(0, 400) };
}
