import { hasWal, membersOf, policiesOf } from '../../config/lookup.ts';
import type { MemberConfig, PostgresTargetConfig } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { formatBytes, formatDuration } from '../../config/units.ts';
import { resolveConnection, withClient, type PostgresConnection } from '../../providers/postgres/connection.ts';
import { serverFacts, type ServerFacts } from '../../providers/postgres/server-facts.ts';
import { readSlot, slotName } from '../../providers/wal/slots.ts';
import { checkCluster } from './cluster-target.ts';
import { walStatus } from '../wal-status.ts';
import { Findings, type CheckScope } from './finding.ts';
import { checkPostgresPrograms } from './postgres-programs.ts';
import { longestWait } from '../../config/longest-wait.ts';
import type { CheckedTarget } from './targets.ts';
import { dumpRights, replicationFacts, tryReplication } from './server-rights.ts';

interface Reached {
  readonly member: MemberConfig;
  readonly connection: PostgresConnection;
  readonly facts: ServerFacts;
}

/** Reaches every server of a target and asks whether it, and the role, can do what the policies want. */
export async function checkPostgres(scope: CheckScope, name: string, target: PostgresTargetConfig): Promise<CheckedTarget> {
  const findings = new Findings('target', name);
  const reached: Reached[] = [];
  for (const member of membersOf(target)) {
    const server = await reach(scope, name, target, member, findings);
    if (server) reached.push(server);
  }
  const primaries = reached.filter(({ facts }) => !facts.inRecovery);
  const systems = new Set(reached.map(({ facts }) => facts.systemId));
  if (systems.size > 1)
    findings.fail(
      `its servers are not one cluster: ${reached.map(({ member, facts }) => `${member.name} is ${facts.systemId}`).join(', ')}`,
      'Correct the connections.',
      'sourceChanged',
    );
  else if (primaries.length > 1)
    findings.fail(
      `it has two primaries: ${primaries.map(({ member }) => member.name).join(', ')}`,
      'Stop the one that should not be; do not back up until then.',
      'sourceChanged',
    );
  if (hasWal(scope.loaded.config, name)) await checkArchivedWal(scope, name, findings);
  const best = primaries[0] ?? reached[0];
  if (target.backupFrom === 'standby' && reached.length > 0 && reached.every(({ facts }) => !facts.inRecovery)) {
    findings.fail(
      'backupFrom is standby, and no standby answers',
      'Start one, or set backupFrom: prefer-standby.',
      'sourceUnreachable',
    );
  }
  const programs = await checkPostgresPrograms(scope, name, target, best?.facts);
  return { findings: [...findings.list, ...programs, ...(await checkCluster(scope, name, target))], ...(best === undefined ? {} : { sourceBytes: best.facts.sourceBytes }) };
}

async function reach(
  scope: CheckScope,
  name: string,
  target: PostgresTargetConfig,
  member: MemberConfig,
  findings: Findings,
): Promise<Reached | undefined> {
  const { env, signal } = scope;
  const several = target.members !== undefined || target.standbys !== undefined;
  const at = several ? `${member.name}: ` : '';
  const field = `targets.${name}${several ? ` (${member.name})` : ''}`;
  try {
    const password =
      member.password === undefined ? {} : { password: resolveSecret(member.password, `${field}.password`, env) };
    const connection = resolveConnection(resolveSecret(member.connection, `${field}.connection`, env), password);
    const facts = await serverFacts(connection, signal);
    const role = facts.inRecovery ? 'standby' : 'primary';
    findings.ok(
      `${at}PostgreSQL ${facts.version}, ${role}, ${formatBytes(facts.sourceBytes)} in ${facts.databases.length} databases, as ${connection.redacted}`,
    );
    if (target.engine === 'physical') await checkPhysical(scope, name, at, { member, connection, facts }, findings);
    else await checkLogical(target, at, connection, facts, findings, signal);
    const dataDir = member.dataDir ?? target.dataDir;
    if (
      dataDir !== undefined &&
      facts.dataDirectory !== undefined &&
      facts.dataDirectory.replace(/\/+$/, '') !== dataDir.replace(/\/+$/, '')
    ) {
      findings.warn(
        `${at}dataDir is ${dataDir}, the server runs in ${facts.dataDirectory}`,
        'Correct dataDir; a restore in place swaps that directory.',
      );
    }
    return { member, connection, facts };
  } catch (error) {
    findings.error(error);
    return undefined;
  }
}

/** What is archived: holes and damage that are known. A repository that does not answer is told by its own check. */
async function checkArchivedWal({ loaded }: CheckScope, name: string, findings: Findings): Promise<void> {
  const { repositories, newest } = await walStatus(loaded, name);
  const holes = repositories.flatMap((repository) => repository.gaps.map((gap) => `${repository.name}: ${gap}`));
  for (const hole of holes.slice(0, 3)) findings.warn(hole, `resurgo upkeep ${name} heals what another repository has; else take a full backup`);
  if (holes.length === 0 && newest !== null) findings.ok(`archived WAL reaches ${newest} without a hole`);
}

const slotExists = (connection: PostgresConnection, name: string, signal: AbortSignal): Promise<boolean> =>
  withClient(connection, async (client) => (await readSlot(client, slotName(name))).exists, { signal });

async function checkPhysical(
  { loaded, signal }: CheckScope,
  name: string,
  at: string,
  { connection, facts }: Reached,
  findings: Findings,
): Promise<void> {
  if (facts.major < 15)
    findings.fail(
      `${at}physical backups need PostgreSQL 15 or later, this is ${facts.version}`,
      'Use engine: logical, or upgrade.',
      'sourceVersion',
    );
  if (facts.canReplicate)
    await tryReplication(connection, signal).then(
      () => findings.ok(`${at}replication sessions are allowed`),
      (error: unknown) => findings.error(error),
    );
  else
    findings.fail(
      `${at}role ${facts.role} lacks REPLICATION`,
      `alter role "${facts.role.replaceAll('"', '""')}" replication;  and allow it in pg_hba.conf`,
      'sourceDenied',
    );
  if (facts.walLevel === 'minimal')
    findings.fail(`${at}wal_level is minimal`, 'Set wal_level = replica and restart the server.', 'sourceDenied');
  const { maxWalSenders, walSendersUsed, walSummaryKeepMs, freeSlots, slotKeepMb } = await replicationFacts(connection, signal);
  if (hasWal(loaded.config, name)) {
    if (slotKeepMb < 0)
      findings.warn(
        `${at}max_slot_wal_keep_size is not set: while no repository can be reached, WAL fills the disk of the server`,
        "alter system set max_slot_wal_keep_size = '20GB'; select pg_reload_conf();  (what the disk can spare)",
      );
    else findings.ok(`${at}WAL archive: the slot may hold ${formatBytes(slotKeepMb * 1024 * 1024)} of WAL`);
    if (freeSlots < 1 && !(await slotExists(connection, name, signal)))
      findings.fail(`${at}no replication slot is free for the WAL archive`, 'Raise max_replication_slots and restart the server.', 'sourceDenied');
  }
  if (walSendersUsed + 1 > maxWalSenders) {
    findings.fail(
      `${at}max_wal_senders is ${maxWalSenders}, and ${walSendersUsed} are used: a backup needs one`,
      'Raise max_wal_senders and restart the server.',
      'sourceDenied',
    );
  }
  if (!facts.dataChecksums)
    findings.warn(
      `${at}data checksums are off: damage of the disk goes into backups unnoticed`,
      'Enable them: stop the server, run pg_checksums --enable.',
    );

  const policies = policiesOf(loaded.config, name).filter((policy) => policy.kind !== 'full');
  if (policies.length === 0) return;
  const kinds = [...new Set(policies.map((policy) => policy.kind))].join(' and ');
  if (facts.major < 17)
    findings.fail(
      `${at}${kinds} backups need PostgreSQL 17 or later, this is ${facts.version}`,
      'Use kind: full, or upgrade.',
      'sourceVersion',
    );
  else if (!facts.summarizeWal)
    findings.fail(
      `${at}summarize_wal is off, which ${kinds} backups need`,
      'alter system set summarize_wal = on; select pg_reload_conf();  then take a full backup',
      'walSummaryMissing',
    );
  else {
    // A differential reaches back to the full, an incremental to the last backup of any kind.
    const wait = longestWait(
      loaded.config,
      name,
      policies.some((policy) => policy.kind === 'differential') ? ['full'] : undefined,
    );
    if (walSummaryKeepMs !== undefined && walSummaryKeepMs > 0 && wait !== undefined && walSummaryKeepMs < wait) {
      findings.warn(
        `${at}wal_summary_keep_time is ${formatDuration(walSummaryKeepMs)}, the schedules lie up to ${formatDuration(wait)} apart: ${kinds} backups will lack summaries`,
        'Raise wal_summary_keep_time above that.',
      );
    }
  }
}

async function checkLogical(
  target: PostgresTargetConfig,
  at: string,
  connection: PostgresConnection,
  facts: ServerFacts,
  findings: Findings,
  signal: AbortSignal,
): Promise<void> {
  const rights = await dumpRights(connection, signal);
  const report = (message: string, hint: string): void => {
    // With `only`, they may be outside of what is dumped.
    if (target.only === undefined) findings.fail(message, hint, 'sourceDenied');
    else findings.warn(message, hint);
  };
  const role = `"${facts.role.replaceAll('"', '""')}"`;
  if (rights.unreadable > 0)
    report(
      `${at}role ${facts.role} may not read ${rights.unreadable} tables or sequences of ${connection.database}, for example ${rights.example ?? ''}`,
      `grant pg_read_all_data to ${role};`,
    );
  if (rights.hidden > 0)
    report(
      `${at}row security hides rows of ${rights.hidden} tables from role ${facts.role}, for example ${rights.hiddenExample ?? ''}`,
      `alter role ${role} bypassrls;`,
    );
  if (!rights.isSuperuser)
    findings.note(`${at}role ${facts.role} is no superuser: the passwords of roles are not in the backup`);
}
