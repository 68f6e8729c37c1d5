import type { DatasetTargetConfig } from '../../config/schema.ts';
import { resolveSecret } from '../../config/secret.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { SetDefinition } from '../../providers/dataset/dump-sets.ts';
import { resolveConnection, type PostgresConnection } from '../../providers/postgres/connection.ts';
import type { TargetSettings } from '../target-settings.ts';

export type DatasetSettings = TargetSettings<DatasetTargetConfig>;

export function datasetConnection({ name, config }: DatasetSettings, applicationName?: string): PostgresConnection {
  const { password } = config;
  return resolveConnection(resolveSecret(config.connection, `targets.${name}.connection`), {
    ...(password === undefined ? {} : { password: resolveSecret(password, `targets.${name}.password`) }),
    ...(applicationName === undefined ? {} : { applicationName }),
  });
}

/** The sets of the configuration, with the target's schema version where a set has none of its own. */
export const setDefinitions = ({ sets, schemaVersion }: DatasetTargetConfig): SetDefinition[] =>
  Object.entries(sets).map(([name, set]) => {
    const version = set.schemaVersion ?? schemaVersion;
    if (version === undefined) throw new ResurgoError('configInvalid', `set ${name} has no schemaVersion`);
    return {
      name, schemaVersion: version, tables: set.tables ?? [],
      queries: Object.entries(set.queries ?? {}).map(([query, { sql, table }]) => ({ name: query, sql, ...(table === undefined ? {} : { table }) })),
    };
  });
