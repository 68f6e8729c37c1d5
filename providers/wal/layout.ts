/** Where the WAL archive lies in a repository; see docs/repository-format.md. */
import { hexLsn } from '../../domain/lsn.ts';
import { systemPrefix } from '../repository/layout.ts';
import { safeSegment } from '../repository/safe-key.ts';

/** Ends with `/`. */
export const walPrefix = (target: string, systemId: string): string => `${systemPrefix(target, systemId)}wal/`;
/** Ends with `/`. */
export const lineagePrefix = (target: string, systemId: string, lineage: string): string => `${walPrefix(target, systemId)}${safeSegment(lineage, 'The lineage')}/`;
export const timelineName = (timeline: number): string => timeline.toString(16).toUpperCase().padStart(8, '0');
/** Ends with `/`. */
export const timelinePrefix = (target: string, systemId: string, lineage: string, timeline: number): string => `${lineagePrefix(target, systemId, lineage)}${timelineName(timeline)}/`;
export const lineageFile = 'lineage.json';
export const historyFile = 'history';

const pointPattern = /^point-([0-9A-F]{16})-([A-Za-z0-9_-]{0,100})$/;
export const pointFile = (lsn: bigint, name: string): string => `point-${hexLsn(lsn)}-${Buffer.from(name, 'utf8').toString('base64url')}`;
export function parsePointFile(file: string): { name: string; lsn: bigint } | undefined {
  const [, lsn, name] = pointPattern.exec(file) ?? [];
  return lsn === undefined || name === undefined ? undefined : { lsn: BigInt(`0x${lsn}`), name: Buffer.from(name, 'base64url').toString('utf8') };
}
