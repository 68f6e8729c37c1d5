import { appendFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { ResurgoError } from '../../domain/errors.ts';
import type { BackupReader } from '../../domain/ports.ts';
import { ensureSpace } from '../host/space.ts';
import { parsePieceName } from './dump-packer.ts';

/** Appends each further piece of a file to its first and deletes it. */
const joinPieces = async (directory: string, file: string, pieces: readonly string[]): Promise<void> => {
  const [first, ...rest] = pieces as [string, ...string[]];
  await rename(join(directory, first), join(directory, file));
  const buffer = Buffer.allocUnsafeSlow(4 * 1024 * 1024);
  for (const piece of rest) {
    const from = await open(join(directory, piece), 'r');
    try {
      for (let at = 0; ;) {
        const { bytesRead } = await from.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) break;
        await appendFile(join(directory, file), buffer.subarray(0, bytesRead));
        at += bytesRead;
      }
    } finally {
      await from.close();
    }
    await rm(join(directory, piece));
  }
};

/**
 * Brings the dump back to a directory (or one file of custom format) that pg_restore reads.
 * @param wanted data files to bring; undefined: all. toc.dat always comes.
 * @returns path for pg_restore
 * @throws destinationSpace, contentMismatch, and what the reader throws
 */
export const extractDump = async (options: {
  reader: BackupReader;
  staging: string;
  wanted: ReadonlySet<string> | undefined;
  signal: AbortSignal | undefined;
  onBytes: (bytes: number) => void;
}): Promise<string> => {
  const { reader, staging, wanted, signal } = options;
  await mkdir(staging, { recursive: true, mode: 0o700 });
  const custom = reader.index.streams.find((stream) => stream.name === 'dump.pgdump');
  if (custom !== undefined) {
    await ensureSpace(staging, custom.bytes, 'Staging of the dump');
    const path = join(staging, custom.name);
    const file = await open(path, 'w', 0o600);
    try {
      for await (const chunk of reader.stream(custom.name, signal)) {
        await file.writeFile(chunk);
        options.onBytes(chunk.length);
      }
    } finally {
      await file.close();
    }
    return path;
  }
  const tar = reader.index.streams.find((stream) => stream.name === 'dump.tar');
  if (tar === undefined)
    throw new ResurgoError(
      'contentMismatch',
      `Backup ${reader.manifest.id} has no stream dump.tar; it is not a logical backup`,
    );
  const all = (tar.files ?? []).filter((file) => file.type === 'file');
  const belongs = (path: string): string => parsePieceName(path)?.file ?? path;
  const needed = all.filter(
    (file) => wanted === undefined || file.path === 'toc.dat' || wanted.has(belongs(file.path)),
  );
  await ensureSpace(
    staging,
    needed.reduce((sum, file) => sum + file.size, 0),
    'Staging of the dump',
  );
  const chosen = new Set(needed.map((file) => file.path));
  const directory = join(staging, 'dump');
  await reader.extract({
    stream: 'dump.tar',
    destination: directory,
    fsync: false,
    onProgress: options.onBytes,
    map: (file) => (chosen.has(file.path) ? file.path : undefined),
    ...(signal === undefined ? {} : { signal }),
  });
  const pieces = new Map<string, { n: number; path: string }[]>();
  for (const { path } of needed) {
    const piece = parsePieceName(path);
    if (piece !== undefined) pieces.set(piece.file, [...(pieces.get(piece.file) ?? []), { n: piece.n, path }]);
  }
  for (const [file, found] of pieces) {
    found.sort((a, b) => a.n - b.n);
    if (found.some((piece, i) => piece.n !== i + 1))
      throw new ResurgoError(
        'contentMismatch',
        `${file} of the dump lacks a piece: it has ${found.map((piece) => piece.n).join(', ')}`,
      );
    signal?.throwIfAborted();
    await joinPieces(
      directory,
      file,
      found.map((piece) => piece.path),
    );
  }
  return directory;
};
