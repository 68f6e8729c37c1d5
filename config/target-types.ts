/** The types of targets there are: a schema per value of `type`, in a file of its own. A new one is a line here. */
import type { z } from 'zod';
import { rdsTarget } from './schema-target-rds.ts';
import { datasetTarget } from './schema-target-dataset.ts';
import { filesTarget } from './schema-target-files.ts';
import { postgresTarget } from './schema-target.ts';

export const targetTypes = [postgresTarget, filesTarget, datasetTarget, rdsTarget] as const;

/** Known words that this version still refuses. */
export const unbuiltTargetTypes: readonly string[] = ['config', 'group'];

export type PostgresTargetConfig = z.output<typeof postgresTarget>;
export type FilesTargetConfig = z.output<typeof filesTarget>;
export type DatasetTargetConfig = z.output<typeof datasetTarget>;
export type RdsTargetConfig = z.output<typeof rdsTarget>;
export type TargetConfig = z.output<(typeof targetTypes)[number]>;
