import { resolve } from 'node:path';
import type { Engine, Manifest } from '../domain/backup.ts';
import { ResurgoError } from '../domain/errors.ts';

export interface RescuePlace {
  readonly connection?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly toolsDir?: string | undefined;
  /** `old=new`, absolute directories. */
  readonly tablespaces?: readonly string[] | undefined;
}

/** The definition of a target that is known by its backups alone: enough to restore it. */
export function rescueTarget(engine: Engine, { connection, dataDir, toolsDir, tablespaces }: RescuePlace): Readonly<Record<string, unknown>> {
  if (engine === 'physical' || engine === 'logical') {
    return {
      type: 'postgres',
      engine,
      connection: connection ?? 'postgres://postgres@127.0.0.1:5432/postgres',
      ...(dataDir === undefined ? {} : { dataDir: resolve(dataDir) }),
      ...(toolsDir === undefined ? {} : { toolsDir: resolve(toolsDir) }),
      ...(tablespaces === undefined ? {} : { tablespaceMap: tablespaceMap(tablespaces) }),
    };
  }
  if (engine === 'files') return { type: 'files', paths: ['/'] };
  // The sets themselves, and their versions, are in the backup; what the destination is at, only a person can say.
  if (engine === 'dataset') return { type: 'dataset', connection: connection ?? 'postgres://postgres@127.0.0.1:5432/postgres', schemaVersion: 'rescue', sets: { rescue: { tables: ['rescue'] } } };
  if (engine === 'rds') return { type: 'rds', instance: 'unknown', region: process.env['AWS_REGION'] ?? 'us-east-1' };
  if (engine === 'config') return { type: 'config', files: ['/'] };
  return { type: engine };
}

/** The targets of a rescue: the one that is asked for and, of a group, its members. */
export function rescueTargets(name: string, { engine, members = [] }: Pick<Manifest, 'engine' | 'members'>, place: RescuePlace): Readonly<Record<string, unknown>> {
  if (engine !== 'group') return { [name]: rescueTarget(engine, place) };
  return {
    [name]: { type: 'group', members: members.map((member) => member.name) },
    ...Object.fromEntries(members.map((member) => [member.name, rescueTarget(member.engine, place)])),
  };
}

/** @throws usage */
function tablespaceMap(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [, from, to] = /^(\/[^=]*)=(\/.*)$/.exec(pair) ?? [];
      if (from === undefined || to === undefined) throw new ResurgoError('usage', `--tablespace ${pair}: give OLD=NEW, two absolute directories`);
      return [from, to] as const;
    }),
  );
}
