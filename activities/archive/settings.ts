import { createHash } from 'node:crypto';
import { archiveRuleOf } from '../../config/lookup.ts';
import { canonicalJson } from '../../config/canonical.ts';
import type { ArchiveRuleConfig, PostgresTargetConfig } from '../../config/schema.ts';
import { archivedTarget, archiveName } from '../../domain/archive.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ArchiveDefinition } from '../../providers/archive/plan-tables.ts';
import type { PostgresConnection } from '../../providers/postgres/connection.ts';
import type { ActivityDeps } from '../deps.ts';
import { sourceServer, type SourceServer } from '../source-server.ts';
import { targetSettings, type TargetSettings } from '../target-settings.ts';

export interface ArchiveSettings extends TargetSettings<PostgresTargetConfig> {
  readonly rule: ArchiveRuleConfig;
  /** The target whose rows are archived. */
  readonly source: string;
}

/**
 * Settings of the archive of a target: its connection, and the repositories and ages of its rule.
 * @param name of the target, or of its archive
 * @throws configInvalid when no rule of the configuration archives it
 */
export function archiveSettings(deps: Pick<ActivityDeps, 'loaded'>, name: string, expectedHash?: string): ArchiveSettings {
  const source = archivedTarget(name) ?? name;
  const base = targetSettings(deps, source);
  const rule = archiveRuleOf(deps.loaded.config, source);
  if (rule === undefined) throw new ResurgoError('configInvalid', `the configuration archives nothing of ${source}`, { details: { hint: `Add it under archives: - { target: ${source}, tables: { events: { column: created_at } } }` } });
  if (base.config.type !== 'postgres') throw new ResurgoError('unsupported', `target ${source} is ${base.config.type}: only rows of a postgres target can be archived`);
  const hash = createHash('sha256').update(canonicalJson({ base: base.hash, tables: rule.tables, repositories: rule.repositories ?? null })).digest('hex');
  if (expectedHash !== undefined && expectedHash !== hash) throw new ResurgoError('configMismatch', `the archive of ${source} is configured differently on this worker (${hash}) than where the run was started (${expectedHash})`);
  const repositories = rule.repositories ?? base.repositories;
  return { ...base, config: base.config, name: archiveName(source), source, engine: 'archive', hash, rule, repositories: Object.keys(deps.loaded.config.repositories).filter((one) => repositories.includes(one)), verify: 'content' };
}

/** The tables of the rule. */
export const archiveDefinitions = ({ rule }: ArchiveSettings): ArchiveDefinition[] =>
  Object.entries(rule.tables).map(([table, { column, where }]) => ({ table, ...(column === undefined ? {} : { column }), ...(where === undefined ? {} : { where }) }));

/** The primary: rows are deleted there. */
export async function archiveSource(settings: ArchiveSettings, applicationName: string): Promise<SourceServer & { readonly connection: PostgresConnection }> {
  const found = await sourceServer({ ...settings, config: { ...settings.config, backupFrom: 'primary' } }, applicationName);
  if (found.facts.inRecovery) throw new ResurgoError('sourceDenied', `${found.connection.redacted} is a standby: rows can be archived on the primary only`);
  return found;
}
