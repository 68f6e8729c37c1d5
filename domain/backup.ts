/** What a backup is: kinds, names, manifest, index. Frozen by docs/repository-format.md (format 1). */
import type { ArchiveFacts } from './archive.ts';
import type { DatasetFacts } from './dataset.ts';
import type { RdsFacts } from './rds.ts';

export type BackupKind = 'full' | 'differential' | 'incremental';
export const engineNames = ['physical', 'logical', 'files', 'config', 'group', 'dataset', 'rds', 'archive'] as const;
/** How a backup was taken. New values are additive: a reader that does not know one refuses that manifest, and only that. */
export type Engine = (typeof engineNames)[number];
export type Compression = 'zstd' | 'none';
/** How deep a repository copy was read back; see docs/repository-format.md#verification. */
export type VerifyDepth = 'checksum' | 'authenticated' | 'content';

/** Key facts that the directory name alone tells: `<time>-<kind>-<id>`, time as `YYYYMMDDTHHMMSSZ`. */
export interface BackupName {
  readonly startedAt: string;
  readonly kind: BackupKind;
  readonly id: string;
}

/** A backup in a repository: where it lies. */
export interface BackupRef extends BackupName {
  readonly target: string;
  /** PostgreSQL system identifier (decimal) or the engine's equivalent; keeps re-initialised clusters apart. */
  readonly systemId: string;
  /** `<time>-<kind>-<id>` */
  readonly name: string;
}

/** One sealed object of a backup. */
export interface PartRecord {
  /** 1-based, unique within the attempt. */
  readonly n: number;
  /** Name of the stream it belongs to, for example `base.tar`. */
  readonly stream: string;
  /** Offset of its plaintext in the stream, bytes. */
  readonly offset: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** SHA-256 of the stored (encrypted) object, hex. */
  readonly sha256: string;
}

/** One entry of a tar stream; `offset` is where its content begins in the stream. */
export interface FileRecord {
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';
  readonly offset: number;
  readonly size: number;
  readonly mode: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
  readonly linkTarget?: string;
}

export interface StreamRecord {
  /** File-system safe: `base.tar`, `16400.tar`, `dump.tar`, `backup_manifest`, `globals.sql`. */
  readonly name: string;
  readonly kind: 'tar' | 'blob';
  readonly bytes: number;
  /** SHA-256 of the whole plaintext stream; only for blobs. */
  readonly sha256?: string;
  /** Only for tar streams, in stream order. */
  readonly files?: readonly FileRecord[];
}

/** Encrypted beside the manifest (object `index`): what restore and partial restore work from. */
export interface BackupIndex {
  readonly format: 1;
  readonly backup: string;
  readonly attempt: string;
  readonly streams: readonly StreamRecord[];
  readonly parts: readonly PartRecord[];
  /** Engine facts too large or too telling for the clear-text manifest (table names, tablespace paths). */
  readonly engine: EngineFacts;
  /** What the next incremental compares with, for a host without the identity: PostgreSQL's own backup_manifest, verbatim; of files, their list. */
  readonly engineManifest?: string;
}

export interface TableFacts {
  readonly schema: string;
  readonly name: string;
  /** Exact, counted in the dump. */
  readonly rows: number;
  /** Bytes of COPY text. */
  readonly bytes: number;
  /** Belongs to an extension: the dump has only the rows that the extension does not make itself. */
  readonly ofExtension?: true;
}

export interface LogicalFacts {
  readonly engine: 'logical';
  readonly database: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  readonly localeProvider: string;
  readonly locale?: string;
  readonly owner: string;
  readonly tables: readonly TableFacts[];
  readonly largeObjects: number;
  readonly extensions: readonly { readonly name: string; readonly version: string }[];
  readonly only?: LogicalOnly;
  /** What CREATE DATABASE and what follows it need besides the above. */
  readonly properties?: DatabaseProperties;
  /** Roles that own something in the database or are named in its privileges; for a restore elsewhere. */
  readonly roles?: readonly string[];
  /** Tablespaces used, the default ones apart. */
  readonly tablespaces?: readonly string[];
  /** Server version, for example 18.4, and where and when the dump's snapshot was. */
  readonly serverVersion?: string;
  readonly snapshot?: { readonly at: string; readonly lsn?: string };
}

/** A part of a database: whole schemas, and tables as `schema.table` (quoted as in SQL where needed; `public` when not said). */
export interface LogicalOnly {
  readonly schemas?: readonly string[];
  readonly tables?: readonly string[];
}

export interface DatabaseProperties {
  readonly connectionLimit: number;
  readonly isTemplate: boolean;
  readonly tablespace: string;
  readonly icuRules?: string;
  readonly collationVersion?: string;
  readonly comment?: string;
  /** ALTER DATABASE … SET, or ALTER ROLE … IN DATABASE … SET where a role is named; each `name=value`. */
  readonly settings: readonly { readonly role?: string; readonly values: readonly string[] }[];
  /** Undefined: the default privileges. A privilege without grantee is PUBLIC's. */
  readonly privileges?: readonly { readonly grantee?: string; readonly privilege: string; readonly grantable: boolean }[];
}

export interface TablespaceFacts {
  readonly oid: string;
  readonly path: string;
  /** The stream that holds it. */
  readonly stream: string;
}

export interface PhysicalFacts {
  readonly engine: 'physical';
  readonly startLsn: string;
  readonly stopLsn: string;
  readonly timeline: number;
  readonly tablespaces: readonly TablespaceFacts[];
  readonly dataChecksums: boolean;
  readonly blockSize: number;
  readonly walSegmentBytes: number;
  readonly fromStandby: boolean;
  /** Connection-free facts worth showing: databases and their sizes. */
  readonly databases: readonly { readonly name: string; readonly bytes: number }[];
}

/** Of a tree of files as a whole, unchanged ones included. */
export interface FilesFacts {
  readonly engine: 'files';
  /** Absolute. */
  readonly paths: readonly string[];
  readonly exclude: readonly string[];
  readonly entries: number;
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  /** Named pipes and devices. */
  readonly others: number;
  /** Content of all files; holes of sparse ones not counted. */
  readonly bytes: number;
  /** Entries packed in this backup; the others lie in its parents. */
  readonly changed: number;
  readonly sockets: number;
  /** Files that changed every time they were read. */
  readonly changing: number;
  readonly unread: number;
}

/** A configuration bundle: its files, and blobs of what is no file. */
export interface ConfigFacts {
  readonly engine: 'config';
  readonly tree: FilesFacts;
  /** Name below `resurgo-bundle/` in a restore, and the stream that has it. */
  readonly extras: readonly { readonly file: string; readonly stream: string }[];
}

/** One member of a group's backup. */
export interface GroupMember {
  readonly name: string;
  readonly engine: Engine;
  /** Its streams are `<prefix>.<name>`. */
  readonly prefix: string;
  readonly systemId: string;
  readonly startedAt: string;
  readonly endedAt: string;
  /** Positions in the chain of the group of the backups its part builds on, oldest first. */
  readonly chain: readonly number[];
  /** Bytes read for it in each of these. */
  readonly chainBytes: readonly number[];
  /** Bytes read for it in this one. */
  readonly bytes: number;
  /** Absent where it failed. */
  readonly facts?: EngineFacts;
  readonly engineManifest?: string;
  readonly wal?: NonNullable<Manifest['wal']>;
  readonly serverVersion: string;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface GroupFacts {
  readonly engine: 'group';
  readonly members: readonly GroupMember[];
  /** Between the first member's beginning and the last's. */
  readonly skewMs: number;
}

/** What an engine notes about a backup of its own; a union, told apart by `engine`. */
export type EngineFacts = ConfigFacts | GroupFacts | PhysicalFacts | LogicalFacts | FilesFacts | DatasetFacts | ArchiveFacts | RdsFacts;

/** Counts of what is in a backup; which of them there are depends on its engine. */
export interface BackupCounts {
  readonly parts: number;
  readonly files: number;
  readonly tables?: number;
  readonly rows?: number;
  readonly databases?: number;
  /** Files of a configuration bundle. */
  readonly configFiles?: number;
  /** Members of a group that are in it. */
  readonly members?: number;
  /** What is missing or not as it should be (unreadable, changed each time it was read, members that failed): `backup` ends with exit code 7. */
  readonly problems?: number;
  /** Records of each data set. */
  readonly sets?: Readonly<Record<string, number>>;
}

/** `manifest.json`: clear text, immutable, signed, written last. No manifest, no backup. */
export interface Manifest {
  readonly schemaVersion: 1;
  readonly format: 1;
  readonly id: string;
  readonly target: string;
  readonly systemId: string;
  readonly name: string;
  readonly kind: BackupKind;
  readonly engine: Engine;
  /** Id of the backup this one builds on; null for a full. */
  readonly parent: string | null;
  /** Whole chain from the full to the parent, oldest first. */
  readonly chain: readonly string[];
  readonly attempt: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly durationMs: number;
  readonly startedBy: string;
  readonly bytes: { readonly source: number; readonly stored: number };
  readonly counts: BackupCounts;
  readonly compression: Compression;
  readonly encryption: { readonly cipher: 'aes-256-gcm'; readonly recipients: readonly string[] };
  /** SHA-256 of the `SHA256SUMS` and `index` objects, hex. */
  readonly digests: { readonly sha256sums: string; readonly index: string };
  readonly versions: { readonly resurgo: string; readonly server: string; readonly tool?: string };
  /** LSN range, for ordering; physical only. */
  readonly wal?: { readonly startLsn: string; readonly stopLsn: string; readonly timeline: number };
  /** What was checked before it was called verified, in words: `manifest`, `pg_restore --list`, `page-checksums` … */
  readonly checks: readonly string[];
  readonly warnings: readonly string[];
  /** Of a group: who is in it. */
  readonly members?: readonly { readonly name: string; readonly engine: Engine }[];
}

export interface ManifestSignature {
  readonly algorithm: 'ed25519';
  /** Raw public key, base64. */
  readonly publicKey: string;
  /** Over the canonical JSON of the manifest without `signature`, base64. */
  readonly value: string;
}

export type SignedManifest = Manifest & { readonly signature: ManifestSignature };

/** The keys of one attempt; never leaves the host unwrapped. */
export interface AttemptKeys {
  readonly backup: string;
  readonly attempt: string;
  /** 32 bytes: parts. */
  readonly dataKey: Uint8Array;
  /** 32 bytes: index. */
  readonly metadataKey: Uint8Array;
}

/** What sealing a dump produced; the run file keeps it, workflows carry only totals. */
export interface SealedBackup {
  readonly index: BackupIndex;
  readonly sourceBytes: number;
  readonly storedBytes: number;
}
