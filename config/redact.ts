import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical.ts';
import type { LoadedConfig } from './load.ts';
import { policiesOf, repositoriesFor, repositoryOf, targetOf } from './lookup.ts';

/** JSON-safe and free of secrets: references stay references, passwords in URLs are gone. May enter a workflow's history. */
export interface ConfigSnapshot {
  readonly schemaVersion: 1;
  readonly target: string;
  /** SHA-256 (hex) of the rest but the recipients; equal on every worker that runs with the same meaning, wherever its file lies. */
  readonly hash: string;
  readonly definition: Readonly<Record<string, unknown>>;
  readonly policies: readonly unknown[];
  readonly repositories: Readonly<Record<string, unknown>>;
  readonly recipients: readonly string[];
}

/** May differ between hosts, or while a run is under way, without making it another run. */
const local = new Set(['toolsDir', 'staging', 'jobs', 'maxRate', 'runAs']);

const plain = (value: unknown): unknown => JSON.parse(canonicalJson(value)) as unknown;

/**
 * What a run of `target` depends on. Give the {@link LoadedConfig}, not its `config`: there relative paths differ from host to host.
 * @throws targetUnknown
 */
export function snapshotOf(loaded: Pick<LoadedConfig, 'source'>, target: string): ConfigSnapshot {
  const { source } = loaded;
  const meaning = (value: object): Record<string, unknown> =>
    plain(Object.fromEntries(Object.entries(value).filter(([key]) => !local.has(key)))) as Record<string, unknown>;
  const own = targetOf(source, target);
  const body = {
    schemaVersion: 1 as const,
    target,
    definition: meaning(targetOf(source, target)),
    // A group means what its members mean.
    ...(own.type === 'group' ? { members: Object.fromEntries(own.members.map((name) => [name, meaning(targetOf(source, name))])) } : {}),
    policies: plain(policiesOf(source, target).map(({ kind, repositories }) => ({ kind, repositories }))) as unknown[],
    repositories: Object.fromEntries(
      repositoriesFor(source, target).map((name) => [name, meaning(repositoryOf(source, name))]),
    ),
  };
  // Who can restore is no part of the hash: workers read it when keys are wrapped, and `resurgo keys rotate` must not stop a run that is under way.
  return { ...body, recipients: source.encryption.recipients ?? [], hash: createHash('sha256').update(canonicalJson(body)).digest('hex') };
}
