/** The types of targets there are: a schema per value of `type`, in a file of its own. A new one is a line here. */
import type { z } from 'zod';
import { rdsTarget } from './schema-target-rds.ts';
import { datasetTarget } from './schema-target-dataset.ts';
import { configTarget } from './schema-target-config.ts';
import { groupTarget } from './schema-target-group.ts';
import { filesTarget } from './schema-target-files.ts';
import { postgresTarget } from './schema-target.ts';

export const targetTypes = [postgresTarget, filesTarget, datasetTarget, rdsTarget, configTarget, groupTarget] as const;

/** Known words that this version still refuses. */
export const unbuiltTargetTypes: readonly string[] = [];

export type PostgresTargetConfig = z.output<typeof postgresTarget>;
export type FilesTargetConfig = z.output<typeof filesTarget>;
export type DatasetTargetConfig = z.output<typeof datasetTarget>;
export type RdsTargetConfig = z.output<typeof rdsTarget>;
export type ConfigTargetConfig = z.output<typeof configTarget>;
export type GroupTargetConfig = z.output<typeof groupTarget>;
export type TargetConfig = z.output<(typeof targetTypes)[number]>;
