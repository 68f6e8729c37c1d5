import { randomBytes } from 'node:crypto';
import type { EvidencePhase } from '../../domain/evidence.ts';
import type { GroupedCheck, PerformanceResult, RestoredData } from '../../domain/drill.ts';
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { DrillConfig } from '../../config/schema-drill.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { compareWithHere, tablesWithoutStatistics } from '../../providers/postgres/drill-compare.ts';
import type { LocalServer } from '../../providers/postgres/local-server.ts';
import { checkCluster } from '../../providers/postgres/post-restore-checks.ts';
import { withClient } from '../../providers/postgres/postgres-client.ts';
import { quoteIdent, quoteLiteral } from '../../providers/postgres/quote.ts';
import { numberOf, timeOf } from '../../providers/postgres/read-only.ts';
import type { ActivityDeps } from '../deps.ts';
import { engineDefinition } from '../engines/index.ts';
import { toResurgoError } from '../failure-mapping.ts';
import { withPulse } from '../heartbeat.ts';
import { openChain } from '../restore-plan.ts';
import { targetSettings } from '../target-settings.ts';
import { placedIn, withServer } from './build.ts';
import { freeLoopbackPort } from './free-port.ts';
import { functionCheck, type CheckPlace } from './function-checks.ts';
import { baselinesOf, measure } from './performance.ts';
import { PhaseClock } from './phase-clock.ts';
import { currentDrill, type DrillPlan } from './plan.ts';

export interface CheckedDrill {
  /** `start` belongs to the restore, `verify` ends the recovery time, the others come after it. */
  readonly phases: readonly EvidencePhase[];
  readonly checks: readonly GroupedCheck[];
  readonly performance: readonly PerformanceResult[];
  readonly restored: RestoredData;
  readonly tablesWithoutStatistics: number;
  readonly serverVersion: string;
  /** From the end of `verify` to the end of this activity: what does not count as recovery. */
  readonly afterVerifyMs: number;
}

/**
 * Checks and measures what was built. Databases: starts the isolated server, stops it at the end. Effect: none that outlives the drill's place. Idempotency: does
 * everything again. Failure: what a check finds is a result; that the server does not start is an error. @throws restoreFailed, configMismatch
 */
export async function checkDrill(deps: ActivityDeps, plan: DrillPlan): Promise<CheckedDrill> {
  const drill = currentDrill(deps, plan);
  return withPulse(async ({ signal, report }) => {
    const clock = new PhaseClock(report);
    if (plan.database === '') return checkFiles(deps, plan, clock, signal);
    const tcp = (drill?.checks ?? []).some((check) => check.command !== undefined || check.start !== undefined);
    const port = tcp ? await freeLoopbackPort() : undefined;
    const role = `resurgo_drill_${plan.id}`;
    const password = randomBytes(18).toString('base64url');
    clock.begin('restore: start the server');
    let verifiedAt = performance.now();
    const found = await withServer(
      deps,
      plan,
      {
        signal,
        // Programs reach it by the drill's role and its password only; everybody else not at all.
        ...(port === undefined ? {} : { settings: { listen_addresses: '127.0.0.1', port: String(port), password_encryption: 'scram-sha-256' }, hba: [`host all ${role} 127.0.0.1/32 scram-sha-256`] }),
      },
      async (server) => {
        const admin = server.connection;
        clock.begin('verify');
        const place: CheckPlace = { ...(await readerOf(server, { role, password, database: plan.database, port }, signal)), database: plan.database, signal };
        const checks = await verify(deps, plan, drill, server, place);
        const restored = await dataOf(drill, server, place, checks);
        clock.begin('check integrity');
        verifiedAt = performance.now();
        const statistics = await tablesWithoutStatistics(admin, plan.database, signal).catch(() => 0);
        if (drill?.integrity !== 'none') checks.push(await integrity(admin, drill?.integrity ?? 'full', clock, signal));
        const measurements: PerformanceResult[] = [];
        if (drill?.performance !== undefined) {
          clock.begin('measure');
          const baselines = await baselinesOf(deps, plan.target, plan.restore.repositories);
          for (const database of new Set([plan.database, ...drill.performance.flatMap((check) => check.database ?? [])]))
            await withClient(admin, (client) => client.query('vacuum (analyze)'), { database, signal }).catch((error: unknown) => checks.push({ group: 'performance', name: `vacuum ${database}`, outcome: 'warning', detail: toResurgoError(error).message }));
          for (const check of drill.performance) {
            const measured = await measure(check, place, baselines);
            checks.push(measured.check);
            if (measured.result !== undefined) measurements.push(measured.result);
          }
        }
        const version = await withClient(admin, async (client) => (await client.query<{ v: string }>(`select current_setting('server_version') as v`)).rows[0]?.v ?? '', { signal });
        clock.end();
        return { phases: clock.phases, checks, performance: measurements, restored, tablesWithoutStatistics: statistics, serverVersion: version };
      },
    );
    return { ...found, afterVerifyMs: Math.round(performance.now() - verifiedAt) };
  }, deps);
}

/** The role checks run as: reads everything, changes nothing, sees every row. Its own login, so that a check cannot become a superuser again. */
async function readerOf(server: LocalServer, { role, password, database, port }: { readonly role: string; readonly password: string; readonly database: string; readonly port: number | undefined }, signal: AbortSignal): Promise<Pick<CheckPlace, 'connection' | 'env'>> {
  await withClient(
    server.connection,
    async (client) => {
      await client.query(`drop role if exists ${quoteIdent(role)}`);
      await client.query(`create role ${quoteIdent(role)} login bypassrls in role pg_read_all_data password ${quoteLiteral(password)}`);
      await client.query(`alter role ${quoteIdent(role)} set default_transaction_read_only = on`);
    },
    { signal },
  );
  const { host, port: socketPort } = server.connection;
  const connection = resolveConnection(`postgres:///${encodeURIComponent(database)}?host=${encodeURIComponent(host)}&port=${String(socketPort)}`, { user: role, applicationName: 'resurgo-drill' });
  if (port === undefined) return { connection, env: {} };
  const env = { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: role, PGPASSWORD: password, PGDATABASE: database, DATABASE_URL: `postgres://${role}:${password}@127.0.0.1:${String(port)}/${encodeURIComponent(database)}` };
  return { connection, env };
}

/** What has to be true before the service may be called recovered. */
async function verify(deps: ActivityDeps, plan: DrillPlan, drill: DrillConfig | undefined, server: LocalServer, place: CheckPlace): Promise<GroupedCheck[]> {
  const { signal } = place;
  const checks: GroupedCheck[] = [{ group: 'restore', name: 'a server starts from it', outcome: 'passed', detail: `answers as ${plan.database}` }];
  const compared = await compareWithHere(server.connection, signal);
  checks.push(
    { group: 'restore', name: 'extensions', ...(compared.extensions.length === 0 ? { outcome: 'passed' as const, detail: 'every extension of the data is installed here' } : { outcome: 'failed' as const, detail: `not installed here: ${compared.extensions.join(', ')}` }) },
    { group: 'restore', name: 'collations', ...(compared.collations.length === 0 ? { outcome: 'passed' as const, detail: 'of the same versions as the data was sorted with' } : { outcome: 'warning' as const, detail: `other versions here, indexes on text must be rebuilt (REINDEX): ${compared.collations.slice(0, 5).join(', ')}` }) },
  );
  if (plan.walProblem !== undefined) checks.push({ group: 'restore', name: 'WAL archive', outcome: 'failed', detail: `the target archives WAL, but it could not be replayed: ${plan.walProblem}` });
  if (plan.restore.recovery !== undefined) checks.push({ group: 'restore', name: 'WAL archive', outcome: 'passed', detail: `replayed to ${plan.restore.recoversTo.time}${plan.restore.recoversTo.lsn === undefined ? '' : ` (LSN ${plan.restore.recoversTo.lsn})`}` });
  if (plan.restore.engine === 'logical') checks.push(await rowCounts(deps, plan, server, signal));
  for (const check of drill?.checks ?? []) checks.push(await functionCheck(deps, check, place));
  return checks;
}

async function rowCounts(deps: ActivityDeps, plan: DrillPlan, server: LocalServer, signal: AbortSignal): Promise<GroupedCheck> {
  const engine = engineDefinition('logical').restore(deps, targetSettings(deps, plan.target, plan.restore.configHash));
  try {
    const found = await engine.verify(placedIn(plan, server), await openChain(deps, plan.restore), { signal, report: () => undefined });
    return { group: 'restore', name: 'row counts', outcome: 'passed', detail: `${(found.rows ?? 0).toLocaleString('en')} rows in ${String(found.tables ?? 0)} tables, as in the manifest` };
  } catch (error) {
    if (!isResurgoError(error, 'restoreMismatch')) throw error;
    return { group: 'restore', name: 'row counts', outcome: 'failed', detail: error.message };
  }
}

/** Where the data stands, asked of the data. */
async function dataOf(drill: DrillConfig | undefined, server: LocalServer, place: CheckPlace, checks: GroupedCheck[]): Promise<RestoredData> {
  const ask = async <T>(name: string, sql: string | undefined, how: (sql: string) => Promise<T | null>): Promise<T | null> => {
    if (sql === undefined) return null;
    try {
      const value = await how(sql);
      checks.push(value === null ? { group: 'function', name, outcome: 'failed', detail: 'the query finds nothing in the restored data' } : { group: 'function', name, outcome: 'passed', detail: String(value) });
      return value;
    } catch (error) {
      place.signal.throwIfAborted();
      checks.push({ group: 'function', name, outcome: 'failed', detail: toResurgoError(error).message });
      return null;
    }
  };
  const inDatabase = <T>(work: (client: Parameters<typeof timeOf>[0]) => Promise<T>): Promise<T> => withClient(place.connection, work, { database: place.database, signal: place.signal, theirs: true });
  return {
    marker: await ask('newest marker', drill?.marker, (sql) => inDatabase((client) => timeOf(client, sql, 60_000))),
    records: await ask('records', drill?.records, (sql) => inDatabase((client) => numberOf(client, sql, 600_000))),
    lastCommit: server.lastCommit ?? null,
  };
}

/** amcheck, visibility maps, index-only against sequential counts. */
async function integrity(connection: PostgresConnection, depth: 'full' | 'quick', clock: PhaseClock, signal: AbortSignal): Promise<GroupedCheck> {
  const since = performance.now();
  const told = (outcome: GroupedCheck['outcome'], detail: string): GroupedCheck => ({ group: 'integrity', name: `integrity (${depth})`, outcome, detail, durationMs: Math.round(performance.now() - since) });
  try {
    const found = await checkCluster({ connection, depth, signal, onProgress: clock.follow(() => 'check integrity') });
    const rows = found.rows === undefined ? '' : `, ${found.rows.toLocaleString('en')} rows read`;
    return told(found.warnings.length === 0 ? 'passed' : 'warning', `${String(found.tables)} tables in ${String(found.databases)} databases${rows}: ${found.checks.join(', ')}${found.warnings.length === 0 ? '' : `; not checked: ${found.warnings.slice(0, 3).join('; ')}`}`);
  } catch (error) {
    if (!isResurgoError(error, 'restoreMismatch')) throw error;
    return told('failed', error.message);
  }
}

/** Files: what the engine compares with the backup, counts and digests. */
async function checkFiles(deps: ActivityDeps, plan: DrillPlan, clock: PhaseClock, signal: AbortSignal): Promise<CheckedDrill> {
  const settings = targetSettings(deps, plan.target, plan.restore.configHash);
  clock.begin('verify');
  let check: GroupedCheck;
  try {
    const found = await engineDefinition(settings.engine).restore(deps, settings).verify(plan.restore, await openChain(deps, plan.restore), { signal, report: clock.follow(() => 'verify') });
    check = { group: 'files', name: 'files', outcome: 'passed', detail: `${found.files === undefined ? '' : `${found.files.toLocaleString('en')} files: `}${found.checks.join(', ') || 'as in the backup'}` };
  } catch (error) {
    if (!(error instanceof ResurgoError) || !['restoreMismatch', 'contentMismatch'].includes(error.code)) throw error;
    check = { group: 'files', name: 'files', outcome: 'failed', detail: error.message };
  }
  clock.end();
  return { phases: clock.phases, checks: [check], performance: [], restored: { marker: null, records: null, lastCommit: null }, tablesWithoutStatistics: 0, serverVersion: '', afterVerifyMs: 0 };
}
