/** Where everything lies in a repository: docs/repository-format.md as pure functions. */
import type { BackupKind, BackupName, BackupRef } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { isSafeSegment, safeSegment } from './safe-key.ts';

/** The object that makes a store a repository. */
export const repositoryKey = 'repository.json';
/** Top-level names that are no targets; a target must not be called so. */
export const reservedNames: ReadonlySet<string> = new Set(['keys', 'runs', 'evidence', repositoryKey, 'writer-epoch']);

const compactTime = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/;
const namePattern = /^(\d{8}T\d{6}Z)-(full|differential|incremental)-([a-z0-9]{1,64})$/;
const factPattern = /^[a-z][a-z0-9-]{0,62}$/;
const partPattern = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})-(\d{6,15})$/;

/**
 * ISO time or `YYYYMMDDTHHMMSSZ` to `YYYYMMDDTHHMMSSZ`.
 * @throws inputInvalid
 */
export function toCompactTime(time: string): string {
  if (compactTime.test(time)) return time;
  const date = new Date(time);
  if (Number.isNaN(date.getTime()) || date.getUTCFullYear() < 1970 || date.getUTCFullYear() > 9999)
    throw new ResurgoError('inputInvalid', `${JSON.stringify(time)} is not a time.`);
  return `${date.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

const monthDays: readonly number[] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** `YYYYMMDDTHHMMSSZ` to `YYYY-MM-DDTHH:MM:SSZ`; undefined when it is no real time. */
function fromCompactTime(time: string): string | undefined {
  const [, y, mo, d, h, mi, s] = compactTime.exec(time) ?? [];
  if (y === undefined || mo === undefined || d === undefined || h === undefined || mi === undefined || s === undefined)
    return undefined;
  // Without a Date: a listing asks this for every file of a repository.
  const days = monthDays[Number(mo) - 1] ?? 0;
  const leap = Number(y) % 4 === 0 && (Number(y) % 100 !== 0 || Number(y) % 400 === 0);
  const valid = Number(d) >= 1 && Number(d) <= (mo === '02' && !leap ? 28 : days) && h < '24' && mi < '60' && s < '60';
  return valid ? `${y}-${mo}-${d}T${h}:${mi}:${s}Z` : undefined;
}

/** `<YYYYMMDDTHHMMSSZ>-<kind>-<id>`; `startedAt` as ISO time or already compact. @throws inputInvalid */
export function backupName(backup: BackupName): string {
  const name = `${toCompactTime(backup.startedAt)}-${backup.kind}-${backup.id}`;
  if (!namePattern.test(name)) throw new ResurgoError('inputInvalid', `${JSON.stringify(name)} is not a backup name.`);
  return name;
}

/** Parts of a backup's directory name (`startedAt` as `YYYY-MM-DDTHH:MM:SSZ`); undefined for anything else. */
export function parseBackupName(name: string): BackupName | undefined {
  const [, time, kind, id] = namePattern.exec(name) ?? [];
  const startedAt = time === undefined ? undefined : fromCompactTime(time);
  if (startedAt === undefined || id === undefined) return undefined;
  return { startedAt, kind: kind as BackupKind, id };
}

/** A reference from where a backup lies; undefined when one of the names is not safe or not a backup's. */
export function backupRef(target: string, systemId: string, name: string): BackupRef | undefined {
  const parsed = parseBackupName(name);
  if (parsed === undefined || !isTargetName(target) || !isSafeSegment(systemId)) return undefined;
  return { ...parsed, target, systemId, name };
}

export const isTargetName = (name: string): boolean => isSafeSegment(name) && !reservedNames.has(name);

/** @throws unsafePath */
export function safeTarget(target: string): string {
  safeSegment(target, 'The target');
  if (reservedNames.has(target))
    throw new ResurgoError(
      'unsafePath',
      `A target may not be called ${JSON.stringify(target)}: the repository uses that name itself.`,
    );
  return target;
}

export type BackupPlace = Pick<BackupRef, 'target' | 'systemId' | 'name'>;

export const systemPrefix = (target: string, systemId: string): string =>
  `${safeTarget(target)}/${safeSegment(systemId, 'The system id')}/`;
export const backupsPrefix = (target: string, systemId: string): string => `${systemPrefix(target, systemId)}backups/`;
export const statePrefix = (target: string, systemId: string): string => `${systemPrefix(target, systemId)}state/`;

export interface BackupKeys {
  /** Ends with `/`. */
  readonly prefix: string;
  readonly manifest: string;
  readonly sums: string;
  readonly index: string;
  /** Ends with `/`. */
  readonly partsPrefix: string;
  readonly part: (attempt: string, n: number) => string;
  readonly state: (fact: string) => string;
}

/** Every key of a backup, wrapped keys apart. @throws unsafePath, inputInvalid */
export function keysOf(ref: BackupPlace): BackupKeys {
  const name = safeSegment(ref.name, 'The backup name');
  const prefix = `${backupsPrefix(ref.target, ref.systemId)}${name}/`;
  const state = `${statePrefix(ref.target, ref.systemId)}${name}.`;
  return {
    prefix,
    manifest: `${prefix}manifest.json`,
    sums: `${prefix}SHA256SUMS`,
    index: `${prefix}index`,
    partsPrefix: `${prefix}parts/`,
    part: (attempt, n) => `${prefix}parts/${partName(attempt, n)}`,
    state: (fact) => {
      if (!factPattern.test(fact))
        throw new ResurgoError('inputInvalid', `${JSON.stringify(fact)} is not the name of a fact.`);
      return `${state}${fact}`;
    },
  };
}

/** `<attempt>-<nnnnnn>`; more than 999,999 parts simply have more digits. @throws unsafePath, inputInvalid */
export function partName(attempt: string, n: number): string {
  if (!Number.isSafeInteger(n) || n < 1)
    throw new ResurgoError('inputInvalid', `Part number ${String(n)} is not a positive integer.`);
  return `${safeSegment(attempt, 'The attempt')}-${String(n).padStart(6, '0')}`;
}

export function parsePartName(name: string): { attempt: string; n: number } | undefined {
  const [, attempt, digits] = partPattern.exec(name) ?? [];
  return attempt === undefined ? undefined : { attempt, n: Number(digits) };
}

/** File name below `state/` to backup name and fact; undefined for anything else. */
export function parseStateName(file: string): { name: string; fact: string } | undefined {
  const dot = file.indexOf('.');
  const name = file.slice(0, dot);
  const fact = file.slice(dot + 1);
  return dot > 0 && factPattern.test(fact) && parseBackupName(name) !== undefined ? { name, fact } : undefined;
}

/** Ends with `/`. */
export const keysPrefix = (backupId: string): string => `keys/${safeSegment(backupId, 'The backup id')}/`;
/** The data keys of a backup, wrapped for the n-th set of recipients (n from 1). */
export const keyFile = (backupId: string, n: number): string => {
  if (!Number.isSafeInteger(n) || n < 1)
    throw new ResurgoError('inputInvalid', `Key file number ${String(n)} is not a positive integer.`);
  return `${keysPrefix(backupId)}${String(n)}.age`;
};
/** The metadata key alone, wrapped for the host that took the backup. */
export const hostKeyFile = (backupId: string): string => `${keysPrefix(backupId)}host.age`;

export const runsPrefix = (target: string): string => `runs/${safeTarget(target)}/`;
/** Record of a failed run. */
export const runRecordKey = (target: string, startedAt: string, id: string): string =>
  `${runsPrefix(target)}${toCompactTime(startedAt)}-${safeSegment(id, 'The run id')}.json`;
/** From the name of a record, ISO; undefined for anything else. */
export const startOfRun = (file: string): string | undefined => {
  const [, time] = /^(\d{8}T\d{6}Z)-[0-9a-z]{1,64}\.json$/.exec(file) ?? [];
  return time === undefined ? undefined : fromCompactTime(time);
};

/** Claims of the right to write, one object each; the highest holds. Ends with `/`. */
export const epochPrefix = (target: string): string => `${safeTarget(target)}/writer-epoch/`;
