import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { BackupIndex, FileRecord, StreamRecord } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { parseBackupManifest } from './backup-manifest.ts';
import type { BackupManifest, ManifestFile } from './backup-manifest.ts';
import { crc32c, crc32cHex } from '../vault/crc32c.ts';
import { checkManifestAgainstStreams, isUnlisted, streamPrefix } from './manifest-streams.ts';

const hashes: Partial<Record<ManifestFile['algorithm'], string>> = {
  SHA224: 'sha224',
  SHA256: 'sha256',
  SHA384: 'sha384',
  SHA512: 'sha512',
};

/** Running digest of one file by the algorithm its manifest names. */
export class FileDigest {
  #crc = 0;
  readonly #hash: Hash | undefined;
  readonly #file: ManifestFile;

  constructor(file: ManifestFile) {
    this.#file = file;
    const name = hashes[file.algorithm];
    this.#hash = name === undefined ? undefined : createHash(name);
  }

  write(bytes: Uint8Array): void {
    if (this.#hash) this.#hash.update(bytes);
    else if (this.#file.algorithm === 'CRC32C') this.#crc = crc32c(bytes, this.#crc);
  }

  /** What is wrong, or undefined. */
  problem(): string | undefined {
    const { algorithm, checksum, path } = this.#file;
    if (algorithm === 'NONE') return undefined;
    const actual = this.#hash ? this.#hash.digest('hex') : crc32cHex(this.#crc);
    return actual === checksum ? undefined : `${path} has ${algorithm} ${actual}, the manifest says ${checksum}`;
  }
}

/**
 * Checks the plaintext of a physical backup against PostgreSQL's own manifest while its streams pass in order: every file's size
 * and checksum, nothing missing, nothing more. What `pg_verifybackup` does, on the tar streams.
 */
export class PhysicalContentCheck {
  readonly #manifest: BackupManifest;
  #stream: StreamRecord | undefined;
  #files: readonly FileRecord[] = [];
  #next = 0;
  #offset = 0;
  #digest: FileDigest | undefined;
  #blob: Hash | undefined;

  /** @throws contentMismatch, dumpEmpty when index and manifest already differ */
  constructor(index: BackupIndex) {
    if (index.engineManifest === undefined)
      throw new ResurgoError('contentMismatch', `The index of backup ${index.backup} holds no backup_manifest.`);
    this.#manifest = parseBackupManifest(Buffer.from(index.engineManifest, 'utf8'));
    checkManifestAgainstStreams(this.#manifest, index.streams);
    this.#manifestDigest = createHash('sha256').update(index.engineManifest, 'utf8').digest('hex');
  }
  readonly #manifestDigest: string;

  write(stream: StreamRecord, chunk: Uint8Array): void {
    if (this.#stream !== stream) this.#begin(stream);
    if (stream.kind === 'blob') {
      this.#blob?.update(chunk);
      return;
    }
    for (let at = 0; at < chunk.length;) {
      const file = this.#files[this.#next];
      if (!file) break;
      if (this.#offset + at < file.offset) {
        at = Math.min(chunk.length, file.offset - this.#offset);
        continue;
      }
      const end = Math.min(chunk.length, file.offset + file.size - this.#offset);
      this.#digest ??= this.#digestOf(stream, file);
      this.#digest.write(chunk.subarray(at, end));
      at = end;
      if (this.#offset + at === file.offset + file.size) this.#endFile();
    }
    this.#offset += chunk.length;
  }

  endStream(stream: StreamRecord): void {
    if (this.#stream !== stream) this.#begin(stream);
    if (stream.name === 'backup_manifest') {
      if (this.#blob?.digest('hex') !== this.#manifestDigest)
        throw new ResurgoError('contentMismatch', 'The stored backup_manifest is another one than the index holds.');
    } else if (this.#next < this.#files.length) {
      throw new ResurgoError(
        'contentMismatch',
        `The stream ${stream.name} ends before ${this.#files[this.#next]?.path}.`,
      );
    }
    this.#stream = undefined;
  }

  #begin(stream: StreamRecord): void {
    this.#stream = stream;
    this.#offset = 0;
    this.#next = 0;
    this.#digest = undefined;
    this.#blob = stream.name === 'backup_manifest' ? createHash('sha256') : undefined;
    const prefix = streamPrefix(stream.name);
    this.#files =
      prefix === undefined
        ? []
        : (stream.files ?? []).filter(
            (file) =>
              file.type === 'file' &&
              file.size > 0 &&
              (!isUnlisted(prefix + file.path) || this.#manifest.files.has(prefix + file.path)),
          );
  }

  #digestOf(stream: StreamRecord, file: FileRecord): FileDigest {
    const listed = this.#manifest.files.get(`${streamPrefix(stream.name) ?? ''}${file.path}`);
    if (!listed) throw new ResurgoError('contentMismatch', `${file.path} of ${stream.name} is not in the manifest.`);
    return new FileDigest(listed);
  }

  #endFile(): void {
    const problem = this.#digest?.problem();
    if (problem !== undefined)
      throw new ResurgoError('contentMismatch', `The backup is not what the server sent: ${problem}.`);
    this.#digest = undefined;
    this.#next += 1;
  }
}
