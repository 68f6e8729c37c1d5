import { sourceServer } from '../source-server.ts';
import { postgresSettings } from '../target-settings.ts';
import { dumpLogicalTarget } from './dump-logical.ts';
import type { EngineDefinition } from './engine.ts';
import { logicalRestoreEngine } from './restore-logical.ts';

/** One PostgreSQL database by pg_dump. What is inside was checked at the dump (table of contents, COPY terminators). */
export const logicalEngine: EngineDefinition = {
  name: 'logical',
  async prepare({ settings }) {
    const { facts } = await sourceServer(postgresSettings(settings));
    return { systemId: facts.systemId, warnings: [] };
  },
  dump: dumpLogicalTarget,
  restore: (deps, settings) => logicalRestoreEngine(deps, postgresSettings(settings)),
};
