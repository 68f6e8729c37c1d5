import { ResurgoError } from '../../domain/errors.ts';
import type { BackupWriter, OnProgress, StreamSink } from '../../domain/ports.ts';

export interface ReceivedTablespace {
  readonly oid: string;
  readonly path: string;
  readonly stream: string;
}

/** Progress is told once per so many bytes. */
const progressStep = 4 * 1024 * 1024;
/** Far above the manifest of a million files; a bound against nonsense. */
const manifestLimit = 1024 * 1024 * 1024;

/**
 * Sorts the CopyData messages of BASE_BACKUP (PostgreSQL 15+): `n` a new archive, `m` the manifest begins, `d` data, `p` progress;
 * archives go straight into the writer's streams.
 */
export class BaseBackupReceiver {
  readonly tablespaces: ReceivedTablespace[] = [];
  readonly #writer: BackupWriter;
  readonly #onProgress: OnProgress | undefined;
  /** Estimate of the server; undefined until it came. */
  totalBytes: number | undefined;
  bytes = 0;
  #told = 0;
  #type = 0;
  #sink: StreamSink | undefined;
  #inManifest = false;
  #sawBase = false;
  #manifest: Buffer[] = [];
  #manifestBytes = 0;
  #control: Buffer[] = [];

  constructor(writer: BackupWriter, onProgress?: OnProgress) {
    this.#writer = writer;
    this.#onProgress = onProgress;
  }

  /** For CommandHandlers.onCopyData. */
  readonly copyData = (piece: Buffer, first: boolean, last: boolean): Promise<void> | undefined => {
    let content = piece;
    if (first) {
      this.#type = piece[0] as number;
      if (this.#type !== 0x64) this.#control = [];
      content = piece.subarray(1);
    }
    if (this.#type === 0x64) return this.#data(content);
    if (content.length > 0) this.#control.push(Buffer.from(content));
    return last ? this.#controlMessage(Buffer.concat(this.#control)) : undefined;
  };

  #data(content: Buffer): Promise<void> | undefined {
    if (content.length === 0) return undefined;
    this.bytes += content.length;
    if (this.bytes - this.#told >= progressStep) this.#tell();
    if (this.#inManifest) {
      this.#manifestBytes += content.length;
      if (this.#manifestBytes > manifestLimit)
        throw new ResurgoError('dumpFailed', 'The server sends a backup manifest without end.');
      this.#manifest.push(Buffer.from(content));
      return undefined;
    }
    if (!this.#sink) throw new ResurgoError('dumpFailed', 'The server sent data before it named an archive.');
    return this.#sink.write(content);
  }

  #controlMessage(body: Buffer): Promise<void> | undefined {
    switch (String.fromCharCode(this.#type)) {
      case 'n':
        return this.#newArchive(body);
      case 'm':
        return this.#beginManifest();
      case 'p':
        return undefined;
      default:
        throw new ResurgoError(
          'dumpFailed',
          `The server sent an unknown message ${JSON.stringify(String.fromCharCode(this.#type))} in the base backup.`,
        );
    }
  }

  async #newArchive(body: Buffer): Promise<void> {
    const end = body.indexOf(0);
    const name = body.toString('utf8', 0, end);
    const path = body.toString('utf8', end + 1, body.length - 1);
    const oid = /^(\d+)\.tar$/.exec(name)?.[1];
    if (name !== 'base.tar' && oid === undefined)
      throw new ResurgoError(
        'dumpFailed',
        `The server named an archive ${JSON.stringify(name)}, which no base backup has.`,
      );
    await this.#endStream();
    if (oid === undefined) this.#sawBase = true;
    else this.tablespaces.push({ oid, path, stream: name });
    this.#sink = this.#writer.openStream(name, 'tar');
  }

  async #beginManifest(): Promise<void> {
    await this.#endStream();
    this.#inManifest = true;
  }

  async #endStream(): Promise<void> {
    const sink = this.#sink;
    this.#sink = undefined;
    await sink?.end();
  }

  #tell(): void {
    this.#told = this.bytes;
    this.#onProgress?.({
      phase: 'dump',
      doneBytes: this.bytes,
      ...(this.totalBytes === undefined ? {} : { totalBytes: Math.max(this.totalBytes, this.bytes) }),
    });
  }

  /** After the server said that all is well: writes the manifest as a stream of its own. @throws dumpEmpty, dumpFailed */
  async finish(): Promise<Buffer> {
    await this.#endStream();
    if (!this.#sawBase) throw new ResurgoError('dumpEmpty', 'The server sent no base.tar.');
    if (!this.#inManifest || this.#manifestBytes === 0)
      throw new ResurgoError('dumpEmpty', 'The server sent no backup manifest.');
    const manifest = Buffer.concat(this.#manifest);
    const sink = this.#writer.openStream('backup_manifest', 'blob');
    await sink.write(manifest);
    await sink.end();
    this.#tell();
    return manifest;
  }
}
