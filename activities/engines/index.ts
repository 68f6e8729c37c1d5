/** The engines of this version, a line each. */
import type { Engine } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { EngineDefinition } from './engine.ts';
import { configEngine } from './config.ts';
import { filesEngine } from './files.ts';
import { rdsEngine } from './rds.ts';
import { archiveEngine } from './archive.ts';
import { datasetEngine } from './dataset.ts';
import { groupEngine } from './group.ts';
import { logicalEngine } from './logical.ts';
import { physicalEngine } from './physical.ts';

const engines: readonly EngineDefinition[] = [
  physicalEngine,
  logicalEngine,
  filesEngine,
  datasetEngine,
  archiveEngine,
  rdsEngine,
  configEngine,
  groupEngine((name) => engineDefinition(name)),
];

/** @throws unsupported for an engine of a newer version */
export function engineDefinition(name: Engine): EngineDefinition {
  const found = engines.find((engine) => engine.name === name);
  if (found === undefined) throw new ResurgoError('unsupported', `this version cannot work with ${name} backups`);
  return found;
}
