/** What no single field shows: names that refer to each other, and fields that exclude or need each other. Works on unchecked data, so that all problems are reported at once. */
import path from 'node:path';
import { checkFailover, checkReplication } from './cross-check-cluster.ts';
import { archiveSuffix } from '../domain/archive.ts';
import { engineOf, engineTraits, type EngineTraits } from '../domain/engines.ts';
import { namePattern } from '../domain/ids.ts';
import { crossCheckAlerts } from './cross-check-alerts.ts';
import { show } from './leaf-core.ts';
import { nameRule } from './leaf.ts';
import { checkDrills } from './cross-check-drill.ts';
import { checkGameDays } from './cross-check-gameday.ts';
import { didYouMean } from './suggest.ts';
import type { ConfigPath } from './yaml-source.ts';
import { has, isMapping, listOf, mappingOf, type Raw } from './raw.ts';

export interface RawProblem {
  readonly path: ConfigPath;
  readonly part?: 'key' | 'value';
  readonly message: string;
  /** Default configInvalid. */
  readonly code?: 'configInvalid' | 'configUnsafe';
}

/** Names that mean something else in a repository (docs/repository-format.md), or to a run. */
export const reserved: Readonly<Record<'targets' | 'repositories', readonly string[]>> = {
  targets: ['keys', 'runs', 'evidence', 'repository.json', 'writer-epoch'],
  repositories: ['spool'],
};

export function crossCheck(data: unknown): RawProblem[] {
  const root = mappingOf(data);
  const problems: RawProblem[] = [];
  const report = (at: ConfigPath, message: string, part?: 'key' | 'value'): void =>
    void problems.push({ path: at, message, ...(part ? { part } : {}) });
  const targets = mappingOf(root['targets']);
  const repositories = mappingOf(root['repositories']);

  const checkNames = (section: keyof typeof reserved, names: Raw): void => {
    if (isMapping(root[section]) && Object.keys(names).length === 0)
      report([section], `has no entries; name at least one`, 'key');
    for (const key of Object.keys(names)) {
      if (!namePattern.test(key)) report([section, key], `${show(key)} ${nameRule}`, 'key');
      if (section === 'targets' && key.endsWith(archiveSuffix)) report([section, key], `${show(key)} ends in ${archiveSuffix}, as the archives of targets do; take another`, 'key');
      if (reserved[section].includes(key))
        report([section, key], `${show(key)} is a name Resurgo uses itself; take another`, 'key');
    }
  };
  const checkReferences = (at: ConfigPath, value: unknown, known: Raw, what: string): void => {
    const seen = new Set<unknown>();
    for (const [i, entry] of listOf(value).entries()) {
      if (typeof entry !== 'string' || !namePattern.test(entry)) continue;
      if (seen.has(entry)) report([...at, i], `${show(entry)} is named twice`);
      else if (!has(known, entry)) {
        const names = Object.keys(known);
        report(
          [...at, i],
          `${show(entry)} is no ${what} of this configuration${didYouMean(entry, names) || (names.length ? `; there are ${names.slice(0, 10).join(', ')}` : '')}`,
        );
      }
      seen.add(entry);
    }
  };

  checkNames('repositories', repositories);
  checkNames('targets', targets);
  checkEncryption(root, report);
  checkRepositories(repositories, report);
  crossCheckAlerts(root, report, checkReferences);
  for (const [key, target] of Object.entries(targets)) {
    if (!isMapping(target)) continue;
    checkTarget(['targets', key], target, report);
    checkReferences(['targets', key, 'repositories'], target['repositories'], repositories, 'repository');
    if (target['type'] === 'group' || target['type'] === 'config') {
      const field = target['type'] === 'group' ? 'members' : 'databases';
      checkReferences(['targets', key, field], target[field], targets, 'target');
      for (const [i, name] of listOf(target[field]).entries()) {
        const type = typeof name === 'string' && has(targets, name) ? mappingOf(targets[name])['type'] : undefined;
        if (field === 'members' && type === 'group') report(['targets', key, field, i], `${show(name)} is a group; name its members`);
        if (field === 'databases' && type !== undefined && type !== 'postgres') report(['targets', key, field, i], `${show(name)} is no PostgreSQL target`);
      }
    }
    checkReferences(['targets', key, 'walRequired'], target['walRequired'], repositories, 'repository');
  }
  const archived = new Set<unknown>();
  for (const [i, value] of listOf(root['archives']).entries()) {
    const rule = mappingOf(value);
    const at = ['archives', i];
    checkReferences([...at, 'target'].slice(0, 2), typeof rule['target'] === 'string' ? [rule['target']] : [], targets, 'target');
    checkReferences([...at, 'repositories'], rule['repositories'], repositories, 'repository');
    const type = typeof rule['target'] === 'string' && has(targets, rule['target']) ? mappingOf(targets[rule['target']])['type'] : 'postgres';
    if (type !== 'postgres') report([...at, 'target'], `${show(rule['target'])} is of type ${show(type)}; only rows of a postgres target can be archived`);
    if (archived.has(rule['target'])) report([...at, 'target'], `${show(rule['target'])} has a rule already; put all its tables into one`);
    archived.add(rule['target']);
    const tables = mappingOf(rule['tables']);
    if (isMapping(rule['tables']) && Object.keys(tables).length === 0) report([...at, 'tables'], 'has no entries; name at least one table', 'key');
    for (const [table, which] of Object.entries(tables))
      if (isMapping(which) && !has(which, 'column') && !has(which, 'where')) report([...at, 'tables', table], 'has neither column nor where; write for example { column: created_at }', 'key');
  }
  const pings = new Set<unknown>();
  for (const [i, value] of listOf(root['deadman']).entries()) {
    const one = mappingOf(value);
    checkReferences(['deadman', i, 'targets'], one['targets'], targets, 'target');
    const name = has(one, 'name') ? one['name'] : has(one, 'on') ? one['on'] : 'health';
    if (pings.has(name)) report(has(one, 'name') ? ['deadman', i, 'name'] : ['deadman', i], `there is already a ping ${show(name)}; give this one a name of its own`, has(one, 'name') ? 'value' : 'key');
    pings.add(name);
    if (one['on'] === 'backup' && has(one, 'every')) report(['deadman', i, 'every'], 'is only for on: health', 'key');
  }
  const servers = mappingOf(root['dns']);
  for (const [key, target] of Object.entries(targets))
    for (const [i, record] of listOf(mappingOf(mappingOf(target)['failover'])['dns']).entries()) {
      const { server } = mappingOf(record) as { server?: unknown };
      if (typeof server === 'string' && !has(servers, server)) report(['targets', key, 'failover', 'dns', i, 'server'], `${show(server)} is no server of section dns${didYouMean(server, Object.keys(servers))}`);
    }
  for (const section of ['policies', 'retention']) {
    for (const [i, value] of listOf(root[section]).entries()) {
      const rule = mappingOf(value);
      checkReferences([section, i, 'targets'], rule['targets'], targets, 'target');
      checkReferences([section, i, 'repositories'], rule['repositories'], repositories, 'repository');
      if (
        section === 'retention' &&
        isMapping(value) &&
        !['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly', 'age', 'pitr'].some((key) => has(rule, key))
      ) {
        report(
          [section, i],
          'keeps nothing; give at least one of last, hourly, daily, weekly, monthly, yearly, age',
        );
      }
      if (section === 'policies' && has(rule, 'preset')) {
        for (const key of ['kind', 'schedule'])
          if (has(rule, key)) report([section, i, key], 'stands beside preset, which says it already; remove one', 'key');
      }
      if (section === 'policies' && (rule['kind'] === 'incremental' || rule['kind'] === 'differential')) {
        const whole = listOf(rule['targets']).flatMap((name) => {
          const traits = typeof name === 'string' && has(targets, name) ? traitsOf(mappingOf(targets[name])) : undefined;
          return traits?.whyOnlyThese === undefined ? [] : [{ name, why: traits.whyOnlyThese }];
        })[0];
        if (whole !== undefined)
          report(
            [section, i, 'kind'],
            `${show(rule['kind'])} is not possible for ${show(whole.name)}: it ${whole.why}. Use kind: full`,
          );
      }
    }
  }
  checkReplication(['replication'], mappingOf(root['replication']), report);
  for (const [key, target] of Object.entries(targets)) checkReplication(['targets', key, 'replication'], mappingOf(mappingOf(target)['replication']), report);
  checkDrills(root, targets, report);
  checkGameDays(root, targets, report);
  return problems;
}

/** Undefined for a target that is not valid. */
function traitsOf(target: Raw): EngineTraits | undefined {
  const engine = engineOf({ type: String(target['type']), engine: String(target['engine']) });
  return Object.hasOwn(engineTraits, engine) ? engineTraits[engine] : undefined;
}

export type Report = (at: ConfigPath, message: string, part?: 'key' | 'value') => void;

function checkEncryption(root: Raw, report: Report): void {
  const encryption = root['encryption'];
  if (!isMapping(encryption)) return;
  const byKey = ['recipients', 'identity'].filter((key) => has(encryption, key));
  if (has(encryption, 'passphrase') && byKey.length > 0)
    report(
      ['encryption', 'passphrase'],
      `stands beside ${byKey.join(' and ')}; use recipients and identity, or the passphrase, not both`,
      'key',
    );
  if (!has(encryption, 'passphrase') && !has(encryption, 'recipients'))
    report(['encryption'], 'has neither recipients nor a passphrase; `resurgo init` makes a key pair', 'key');
}

function checkRepositories(repositories: Raw, report: Report): void {
  const seen: { key: string; place: string }[] = [];
  for (const [key, value] of Object.entries(repositories)) {
    const repository = mappingOf(value);
    const at = ['repositories', key];
    const isSet = (field: string): boolean => has(repository, field);
    if (isSet('accessKeyId') !== isSet('secretAccessKey'))
      report(
        at,
        `has ${isSet('accessKeyId') ? 'accessKeyId without secretAccessKey' : 'secretAccessKey without accessKeyId'}; give both or neither`,
        'key',
      );
    if (isSet('sessionToken') && !isSet('accessKeyId'))
      report([...at, 'sessionToken'], 'needs accessKeyId and secretAccessKey', 'key');
    if (isSet('sseKmsKeyId') && repository['sse'] !== 'aws:kms')
      report([...at, 'sseKmsKeyId'], 'needs sse: aws:kms', 'key');
    const text = (field: string): string => (typeof repository[field] === 'string' ? repository[field] : '');
    const place =
      repository['type'] === 'disk' && text('path')
        ? `disk:${path.resolve('/config', text('path'))}/`
        : repository['type'] === 's3' && text('bucket') && ['undefined', 'string'].includes(typeof repository['prefix'])
          ? `s3:${text('endpoint')}|${text('bucket')}|${text('prefix').replace(/\/?$/, '/').replace(/^\/$/, '')}`
          : undefined;
    if (place === undefined) continue;
    const other = seen.find((s) => s.place === place || s.place.startsWith(place) || place.startsWith(s.place));
    if (other)
      report(
        at,
        `lies in the same place as repository ${show(other.key)} (or one inside the other); give each its own ${repository['type'] === 'disk' ? 'path' : 'prefix'}`,
        'key',
      );
    seen.push({ key, place });
  }
}

const physicalOnly = ['dataDir', 'checkpoint', 'tablespaceMap', 'owner', 'walRequired', 'walFlush'];

/** By `type`. */
const targetChecks: Readonly<Record<string, (at: ConfigPath, target: Raw, report: Report) => void>> = {
  postgres: checkPostgres,
  dataset: checkDataset,
  rds: checkRds,
};

function checkTarget(at: ConfigPath, target: Raw, report: Report): void {
  if (target['compression'] === 'none' && has(target, 'compressionLevel'))
    report([...at, 'compressionLevel'], 'has no effect with compression: none', 'key');
  const type = String(target['type']);
  if (Object.hasOwn(targetChecks, type)) targetChecks[type]?.(at, target, report);
}

function checkPostgres(at: ConfigPath, target: Raw, report: Report): void {
  const isSet = (field: string): boolean => has(target, field);
  if (!isSet('connection') && !isSet('members'))
    report(at, 'has no connection; write for example connection: { env: SHOP_URL }', 'key');
  if (isSet('members'))
    for (const field of ['connection', 'standbys'])
      if (isSet(field)) report([...at, field], 'stands beside members; list every server under members only', 'key');
  if (target['engine'] === 'logical')
    for (const field of physicalOnly) if (isSet(field)) report([...at, field], 'is only for engine: physical', 'key');
  if (target['engine'] === 'logical' && (target['wal'] === true || target['wal'] === 'true'))
    report([...at, 'wal'], 'is only for engine: physical: a dump cannot be rolled forward by WAL. Use engine: physical, or remove it', 'key');
  if (target['engine'] === 'physical')
    for (const field of ['only'])
      if (isSet(field))
        report([...at, field], 'is only for engine: logical; a physical backup holds the whole cluster', 'key');
  if (target['backupFrom'] === 'standby' && !isSet('standbys') && !isSet('members'))
    report([...at, 'backupFrom'], 'is standby, but no standbys are named');
  const only = target['only'];
  if (isMapping(only) && !has(only, 'schemas') && !has(only, 'tables'))
    report([...at, 'only'], 'names neither schemas nor tables', 'key');
  for (const key of Object.keys(mappingOf(target['tablespaceMap'])))
    if (!key.startsWith('/')) report([...at, 'tablespaceMap', key], `${show(key)} must be an absolute path`, 'key');
  checkFailover(at, target, report);
  for (const field of ['standbys', 'members']) {
    const seen = new Set<unknown>();
    for (const [i, member] of listOf(target[field]).entries()) {
      const word = mappingOf(member)['name'];
      if (typeof word === 'string' && seen.has(word))
        report([...at, field, i, 'name'], `${show(word)} is there twice; every member has its own name`);
      seen.add(word);
    }
  }
}

function checkDataset(at: ConfigPath, target: Raw, report: Report): void {
  const sets = mappingOf(target['sets']);
  if (isMapping(target['sets']) && Object.keys(sets).length === 0) report([...at, 'sets'], 'has no entries; name at least one set', 'key');
  const seen = new Map<string, string>();
  const once = (path: ConfigPath, table: unknown, set: string): void => {
    if (typeof table !== 'string') return;
    const full = table.includes('.') ? table : `public.${table}`;
    const other = seen.get(full);
    if (other !== undefined) report(path, `${show(table)} is in set ${show(other)} already; a table belongs to one set`);
    seen.set(full, set);
  };
  for (const [key, value] of Object.entries(sets)) {
    if (!isMapping(value)) continue;
    const path = [...at, 'sets', key];
    if (!namePattern.test(key)) report(path, `${show(key)} ${nameRule}`, 'key');
    if (!has(value, 'tables') && !has(value, 'queries')) report(path, 'names neither tables nor queries', 'key');
    if (!has(value, 'schemaVersion') && !has(target, 'schemaVersion')) report(path, 'has no schemaVersion, and neither has the target; write for example schemaVersion: 1', 'key');
    for (const [i, table] of listOf(value['tables']).entries()) once([...path, 'tables', i], table, key);
    for (const [query, what] of Object.entries(mappingOf(value['queries']))) {
      if (!namePattern.test(query)) report([...path, 'queries', query], `${show(query)} ${nameRule}`, 'key');
      once([...path, 'queries', query, 'table'], mappingOf(what)['table'], key);
    }
  }
}

function checkRds(at: ConfigPath, target: Raw, report: Report): void {
  if (has(target, 'instance') === has(target, 'cluster')) report(at, has(target, 'instance') ? 'names an instance and a cluster; name one' : 'names neither instance nor cluster', 'key');
  const seen = new Set<unknown>([target['region']]);
  for (const [i, copy] of listOf(target['copyTo']).entries()) {
    const region = mappingOf(copy)['region'];
    if (seen.has(region)) report([...at, 'copyTo', i, 'region'], `${show(region)} is a region of it already`);
    seen.add(region);
  }
}
