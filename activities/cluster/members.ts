import { hostname, networkInterfaces } from 'node:os';
import { ResurgoError } from '../../domain/errors.ts';
import type { ClusterPlan, MemberPlan } from '../../domain/failover.ts';
import { membersOf, targetOf } from '../../config/lookup.ts';
import type { FailoverConfig, MemberConfig } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { didYouMean } from '../../config/suggest.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import type { ActivityDeps } from '../deps.ts';

export interface ClusterMember {
  readonly name: string;
  readonly config: MemberConfig;
  /** Worker host of host-bound work; undefined: any worker. */
  readonly host: string | undefined;
  readonly dataDir: string | undefined;
  readonly slot: string;
  /** Secrets are resolved when it is called. */
  connection(options?: { readonly timeoutMs?: number; readonly applicationName?: string }): PostgresConnection;
  /** Where the other members reach it. */
  address(): { readonly host: string; readonly port: number };
}

export interface Cluster {
  readonly name: string;
  readonly members: readonly ClusterMember[];
  readonly settings: FailoverConfig;
  readonly toolsDirs: readonly string[];
  /** @throws memberUnknown */
  member(name: string): ClusterMember;
}

const defaults: FailoverConfig = { automatic: false, probes: 3, every: 500, timeout: 3000, hangTimeout: 35_000 };

/** A target as a cluster. @throws targetUnknown, unsupported */
export function clusterOf(deps: Pick<ActivityDeps, 'loaded'>, name: string): Cluster {
  const target = targetOf(deps.loaded.config, name);
  if (target.type !== 'postgres') throw new ResurgoError('unsupported', `target ${name} is of type ${target.type}; only PostgreSQL targets are clusters`);
  const configured = membersOf(target);
  if (configured.length < 2) throw new ResurgoError('unsupported', `target ${name} has one server; a cluster has members, or a connection and standbys`, { details: { hint: 'List its servers under targets.NAME.members; see docs/guides/clusters.md.' } });
  const members = configured.map((config): ClusterMember => {
    const connection: ClusterMember['connection'] = (options = {}) =>
      resolveConnection(resolveSecret(config.connection, `targets.${name} (${config.name}).connection`), {
        ...(config.password === undefined ? {} : { password: resolveSecret(config.password, `targets.${name} (${config.name}).password`) }),
        ...(options.timeoutMs === undefined ? {} : { connectTimeoutMs: options.timeoutMs }),
        ...(options.applicationName === undefined ? {} : { applicationName: options.applicationName }),
      });
    return {
      name: config.name, config, host: config.host ?? target.host, dataDir: config.dataDir, slot: config.slot ?? `resurgo_${config.name.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_')}`,
      connection,
      address: () => {
        if (config.address === undefined) return connection();
        const at = config.address.lastIndexOf(':');
        return { host: config.address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(config.address.slice(at + 1)) };
      },
    };
  });
  return {
    name, members,
    settings: target.failover ?? defaults,
    toolsDirs: target.toolsDir === undefined ? [] : [target.toolsDir],
    member: (wanted) => {
      const found = members.find((each) => each.name === wanted);
      if (found === undefined) throw new ResurgoError('memberUnknown', `cluster ${name} has no member ${JSON.stringify(wanted)}${didYouMean(wanted, members.map((each) => each.name)) || `; there are ${members.map((each) => each.name).join(', ')}`}`);
      return found;
    },
  };
}

const isHere = (host: string): boolean =>
  host.startsWith('/') || host === 'localhost' || host === hostname() || host === '::1' || host.startsWith('127.') ||
  Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === host));

/** Whether a member runs on the machine this process runs on. */
export const memberIsHere = (member: ClusterMember, host: string): boolean => member.host === host || isHere(member.connection().host);

/**
 * Ways to fence a member, in order. By its host's worker only where that host is known: by name, or because its address is this very machine.
 */
function fencesOf(member: ClusterMember, deps: Pick<ActivityDeps, 'host'>): { fences: ('local' | 'exec')[]; host: string | null } {
  const { fence } = member.config;
  const fences: ('local' | 'exec')[] = [];
  let host = member.host ?? null;
  if (fence?.local !== false && member.dataDir !== undefined) {
    if (host === null && isHere(member.connection().host)) host = deps.host;
    if (host !== null) fences.push('local');
  }
  if (fence?.exec !== undefined) fences.push('exec');
  return { fences, host };
}

/** What a flow has to know of a cluster; no secrets. */
export function clusterPlan(deps: Pick<ActivityDeps, 'loaded' | 'host'>, name: string): ClusterPlan {
  const cluster = clusterOf(deps, name);
  const members = cluster.members.map((member): MemberPlan => ({
    name: member.name, ...fencesOf(member, deps), fenceTimeoutMs: member.config.fence?.timeout ?? 30_000, hasDataDir: member.dataDir !== undefined, site: member.config.site ?? null,
  }));
  const weak = members.filter((member) => member.fences.length === 0).map((member) => member.name);
  return {
    target: name, members, probes: cluster.settings.probes, everyMs: cluster.settings.every, hangTimeoutMs: cluster.settings.hangTimeout,
    records: (cluster.settings.dns ?? []).map((record) => record.name),
    warnings: weak.length === 0 ? [] : [`${weak.join(', ')} cannot be fenced (no host with dataDir, no fence.exec): a failover away from there asks a person`],
  };
}
