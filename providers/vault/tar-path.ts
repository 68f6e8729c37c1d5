/**
 * File names are bytes, JSON has only text: bytes that are not UTF-8 become the lone surrogates U+DC80…U+DCFF
 * (Python's "surrogateescape"), so that every name survives the index and comes back as it was.
 */
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function textOfBytes(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    return escapeInvalid(bytes);
  }
}

/** What `node:fs` is to be given for a name from {@link textOfBytes}. */
export function pathBytes(text: string): string | Buffer {
  if (!/[\udc80-\udcff]/.test(text) || text.isWellFormed()) return text;
  const chunks: Buffer[] = [];
  for (const char of text) {
    const code = char.charCodeAt(0);
    chunks.push(char.length === 1 && code >= 0xdc80 && code <= 0xdcff ? Buffer.of(code - 0xdc00) : Buffer.from(char));
  }
  return Buffer.concat(chunks);
}

function escapeInvalid(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes[at] ?? 0);
    const piece = bytes.subarray(at, at + length);
    try {
      if (length === 0) throw new Error('no leading byte');
      text += strict.decode(piece);
      at += length;
    } catch {
      text += String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
      at += 1;
    }
  }
  return text;
}

const sequenceLength = (lead: number): number =>
  lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
