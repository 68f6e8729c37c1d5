import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { z } from 'zod';
import { engineNames, type AttemptKeys, type BackupIndex } from '../../domain/backup.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { cipherFor, decipherFor, tagBytes } from './part-cipher.ts';

/** A sane bound for the decompressed index, so that a hostile one cannot fill the memory. */
const maxIndexBytes = 480 * 1024 * 1024;

/**
 * The object `index`. Call it once per attempt: its nonce is constant, so two different indexes must never be sealed
 * under the keys of one attempt.
 */
export function sealIndex(
  index: BackupIndex,
  keys: Pick<AttemptKeys, 'backup' | 'attempt' | 'metadataKey'>,
): Uint8Array {
  if (index.backup !== keys.backup || index.attempt !== keys.attempt)
    throw new ResurgoError(
      'bug',
      `index of ${index.backup}/${index.attempt} to be sealed with the keys of ${keys.backup}/${keys.attempt}`,
    );
  const cipher = cipherFor(keys.metadataKey, { backup: keys.backup, attempt: keys.attempt, n: 'index' });
  return Buffer.concat([cipher.update(zstdCompressSync(JSON.stringify(index))), cipher.final(), cipher.getAuthTag()]);
}

/**
 * Opens the object `index`.
 * @throws partCorrupt when it is damaged, of another backup, or the key is not its own
 */
export function openIndex(bytes: Uint8Array, metadataKey: Uint8Array, backup: string, attempt: string): BackupIndex {
  const bad = (why: string, cause?: unknown) =>
    new ResurgoError('partCorrupt', `index of backup ${backup}: ${why}`, { cause });
  if (bytes.length <= tagBytes) throw bad(`only ${String(bytes.length)} bytes long`);
  const cut = bytes.length - tagBytes;
  const decipher = decipherFor(metadataKey, { backup, attempt, n: 'index' }, bytes.subarray(cut));
  let compressed: Buffer;
  try {
    compressed = Buffer.concat([decipher.update(bytes.subarray(0, cut)), decipher.final()]);
  } catch (cause) {
    throw bad('its authentication tag does not fit (damaged, altered, or of another backup)', cause);
  }
  let value: unknown;
  try {
    value = JSON.parse(zstdDecompressSync(compressed, { maxOutputLength: maxIndexBytes }).toString('utf8'));
  } catch (cause) {
    throw bad('it does not decompress to JSON', cause);
  }
  const parsed = indexSchema.safeParse(value);
  if (!parsed.success) throw bad(`not of format 1: ${z.prettifyError(parsed.error).split('\n').slice(0, 3).join(' ')}`);
  if (parsed.data.backup !== backup || parsed.data.attempt !== attempt)
    throw bad(`it is the index of ${parsed.data.backup}/${parsed.data.attempt}`);
  checkParts(parsed.data, bad);
  return value as BackupIndex;
}

const count = z.number().int().nonnegative();
const streamName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);

const indexSchema = z.looseObject({
  format: z.literal(1),
  backup: z.string(),
  attempt: z.string(),
  streams: z.array(
    z.looseObject({
      name: streamName,
      kind: z.enum(['tar', 'blob']),
      bytes: count,
      sha256: z.string().optional(),
      files: z
        .array(
          z.looseObject({
            path: z.string().min(1),
            type: z.enum(['file', 'directory', 'symlink', 'hardlink', 'other']),
            offset: count,
            size: count,
            mode: count,
            mtime: z.number(),
            linkTarget: z.string().optional(),
          }),
        )
        .optional(),
    }),
  ),
  parts: z.array(
    z.looseObject({
      n: z.number().int().positive(),
      stream: streamName,
      offset: count,
      plainBytes: count,
      storedBytes: count,
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
  engine: z.looseObject({ engine: z.enum(engineNames) }),
});

/** The parts of every stream follow each other without gap and add up to its size. */
function checkParts(index: z.infer<typeof indexSchema>, bad: (why: string) => ResurgoError): void {
  const ends = new Map<string, number>();
  for (const stream of index.streams) {
    if (ends.has(stream.name)) throw bad(`stream ${stream.name} comes twice`);
    ends.set(stream.name, 0);
  }
  let last = 0;
  for (const part of index.parts) {
    if (part.n <= last) throw bad(`part ${String(part.n)} follows part ${String(last)}`);
    last = part.n;
    if (ends.get(part.stream) !== part.offset)
      throw bad(`part ${String(part.n)} does not continue stream ${part.stream}`);
    ends.set(part.stream, part.offset + part.plainBytes);
  }
  for (const stream of index.streams)
    if (ends.get(stream.name) !== stream.bytes)
      throw bad(
        `the parts of stream ${stream.name} hold ${String(ends.get(stream.name))} bytes instead of ${String(stream.bytes)}`,
      );
}
