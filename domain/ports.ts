import type { FileRecord, Manifest, BackupIndex, VerifyDepth } from './backup.ts';

/** An object in a store. Keys are `/`-separated, relative, without `.` or `..` segments. */
export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  /** ISO time as the store tells it. */
  readonly modifiedAt: string;
  /** From `head` of a store that locks objects: nobody can remove this one until then. */
  readonly lock?: ObjectLock;
}

export interface ObjectLock {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE' | 'LEGAL_HOLD';
  /** ISO; null: until somebody ends the hold. */
  readonly until: string | null;
}

export interface PutOptions {
  /** Fail with `objectExists` when the key is there already (conditional create). */
  readonly ifAbsent?: boolean;
  /** SHA-256 of the body, hex; sent to the store where it can check it. */
  readonly sha256?: string;
  readonly signal?: AbortSignal;
}

/**
 * A place for objects: disk, S3-compatible, memory. One contract suite for all (test/contract/object-store.ts).
 * `put` returns only when the object is durable; a reader never sees half an object.
 */
export interface ObjectStore {
  /** The repository's name in the configuration. */
  readonly name: string;
  readonly kind: 'disk' | 's3' | 'memory';
  /** `body` is valid only until the promise settles: its memory is used again. */
  put(key: string, body: Uint8Array, options?: PutOptions): Promise<void>;
  /** The buffer is the caller's own: it may be overwritten or handed to another thread. @throws objectMissing */
  get(key: string, options?: { offset?: number; length?: number; signal?: AbortSignal }): Promise<Buffer>;
  head(key: string, signal?: AbortSignal): Promise<ObjectInfo | undefined>;
  /** All objects whose key starts with `prefix`, in key order. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo>;
  /** Only their keys, where that costs less. */
  listKeys?(prefix: string, signal?: AbortSignal): AsyncIterable<string>;
  /** Immediate "directories" below `prefix` (which ends with `/` or is empty), without slashes, sorted. */
  listDirectories(prefix: string, signal?: AbortSignal): Promise<string[]>;
  /** Gone already is success. */
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void>;
  /**
   * Where a deletion only hides what was there (Object Lock): removes every version below a prefix for good.
   * @throws repositoryDenied when some of it is locked, or may not be removed
   */
  purge?(prefix: string, signal?: AbortSignal): Promise<void>;
  /** Whether the place locks objects, and how by itself. Undefined where it does not tell. */
  objectLock?(signal?: AbortSignal): Promise<{ readonly enabled: boolean; readonly byDefault?: string } | undefined>;
  /** Free bytes where the store can tell. */
  freeBytes(): Promise<number | undefined>;
  /**
   * Removes what writers that died left and no listing shows (temporary files, unfinished multipart uploads), when older than this, ms.
   * With a prefix (which ends with `/`) only below it. Returns how many.
   */
  sweepTemporary?(olderThanMs: number, signal?: AbortSignal, prefix?: string): Promise<number>;
  close(): Promise<void>;
}

/** One plaintext stream of a backup while it is written. */
export interface StreamSink {
  /** Takes a copy of the chunk at once; a returned promise asks the caller to wait (back-pressure). */
  write(chunk: Uint8Array): Promise<void> | undefined;
  end(): Promise<void>;
  /** In place of `end`, after a failure: what was written stays as opaque bytes. */
  abandon?(): Promise<void>;
}

/** What engines write into. Streams are written one after the other. */
export interface BackupWriter {
  /** `tar`: its entries are indexed as they pass; `blob`: opaque bytes. */
  openStream(name: string, kind: 'tar' | 'blob'): StreamSink;
  /** Plain bytes taken so far. */
  readonly sourceBytes: number;
  readonly storedBytes: number;
}

export interface ExtractOptions {
  readonly stream: string;
  /** Absolute directory; created 0700 when missing. */
  readonly destination: string;
  /** Maps an entry to another relative path, or leaves it out with undefined. Default: its own path. */
  readonly map?: (file: FileRecord) => string | undefined;
  /**
   * Content that is only read once more and then thrown away: regular files (by their path below the destination) whose content goes into one new
   * file, one behind the other in the order of the stream, instead of into files of their own. Never synced.
   */
  readonly spool?: { readonly path: string; readonly takes: (path: string) => boolean };
  readonly signal?: AbortSignal;
  /** Called with plain bytes written since the last call. */
  readonly onProgress?: (bytes: number) => void;
  /** Sync files and directories before returning (default), or only begin with the large files, for a caller that syncs everything later. */
  readonly fsync?: boolean | 'ahead';
  /** Also compute the CRC-32C of every file while its bytes pass. Default false. */
  readonly crc32c?: boolean;
}

/** A run of bytes in a spool file. */
export interface Spooled {
  readonly spool: string;
  readonly at: number;
  readonly bytes: number;
}

export interface ExtractResult {
  readonly files: number;
  readonly bytes: number;
  /** With a spool: where its files are in it, by their path below the destination. */
  readonly spooled?: ReadonlyMap<string, Spooled>;
  /** When asked for: of every regular file, by its path below the destination. */
  readonly crc32c?: ReadonlyMap<string, number>;
}

/** A stored backup, opened: reads fall back from one store to the next when a part is missing or damaged. */
export interface BackupReader {
  readonly manifest: Manifest;
  readonly index: BackupIndex;
  /** Extracts a tar stream in parallel, file content by part. Never writes outside `destination`. */
  extract(options: ExtractOptions): Promise<ExtractResult>;
  /** One file of a tar stream, or a whole blob when `path` is omitted. */
  read(stream: string, path?: string, signal?: AbortSignal): Promise<Buffer>;
  /** Plaintext of a stream, part after part, in order. */
  stream(name: string, signal?: AbortSignal): AsyncIterable<Buffer>;
}

export interface VerifyResult {
  readonly depth: VerifyDepth;
  readonly parts: number;
  readonly bytes: number;
}

/** Where an activity tells how far it is; the boundary turns it into heartbeats. */
export interface ProgressReport {
  readonly phase: string;
  readonly doneBytes?: number;
  readonly totalBytes?: number;
  readonly note?: string;
}
export type OnProgress = (report: ProgressReport) => void;
