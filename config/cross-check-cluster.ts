import type { ConfigPath } from './yaml-source.ts';
import { show } from './leaf-core.ts';
import { parseDuration, parseSize } from './units.ts';
import { has, listOf, mappingOf, type Raw } from './raw.ts';
import { replicationDefaults } from './schema-replication.ts';

/** Two members in one place could be fenced for each other. */
export function checkFailover(at: ConfigPath, target: Raw, report: (at: ConfigPath, message: string, part?: 'key' | 'value') => void): void {
  const lists = ['standbys', 'members'].flatMap((field) => listOf(target[field]).map((member, i) => ({ member: mappingOf(member), at: [...at, field, i] })));
  const places = new Map<string, unknown>();
  for (const { member, at: where } of lists) {
    if (typeof member['dataDir'] !== 'string') continue;
    const place = `${typeof member['host'] === 'string' ? member['host'] : ''}|${member['dataDir'].replace(/\/+$/, '')}`;
    if (places.has(place)) report([...where, 'dataDir'], `is the one of ${show(places.get(place))} on the same host too; one of them would be fenced for the other`);
    places.set(place, member['name']);
  }
  if (has(target, 'failover') && lists.length + (has(target, 'connection') ? 1 : 0) < 2) report([...at, 'failover'], 'needs a cluster: members, or a connection and standbys', 'key');
  if (has(target, 'replication') && lists.length + (has(target, 'connection') ? 1 : 0) < 2) report([...at, 'replication'], 'needs a cluster: members, or a connection and standbys', 'key');
  const names = [...(has(target, 'connection') ? ['primary'] : []), ...lists.map(({ member }) => member['name'])];
  for (const [i, value] of listOf(mappingOf(target['failover'])['dns']).entries()) {
    const record = mappingOf(value);
    const missing = names.filter((name) => typeof name === 'string' && !has(mappingOf(record['values']), name));
    if (missing.length > 0) report([...at, 'failover', 'dns', i, 'values'], `says nothing for ${missing.map(show).join(', ')}; every member may become the primary`);
    for (const name of Object.keys(mappingOf(record['values']))) if (!names.includes(name)) report([...at, 'failover', 'dns', i, 'values', name], `${show(name)} is no member of this cluster`, 'key');
  }
}

/** Limits in their order. */
export function checkReplication(at: ConfigPath, section: Raw, report: (at: ConfigPath, message: string, part?: 'key' | 'value') => void): void {
  for (const [low, high, read] of [['maxLag', 'criticalLag', parseDuration], ['maxLagBytes', 'criticalLagBytes', parseSize]] as const) {
    const [warn, critical] = [low, high].map((key) => (has(section, key) ? read(String(section[key])) : key === 'maxLag' || key === 'criticalLag' ? replicationDefaults[key] : undefined));
    if (warn !== undefined && critical !== undefined && warn > critical) report([...at, has(section, high) ? high : low], `${high} is below ${low}; a standby is warned about before it is rebuilt`);
  }
}
