// Opens a Resurgo backup (repository format 1) with Node 18 or later and nothing else. Usage:
//   node unseal.mjs KEYS.json BACKUP                      the index, still compressed, to standard output
//   node unseal.mjs KEYS.json BACKUP INDEX.json STREAM    a stream, still compressed, to standard output
// KEYS.json is what `age -d` gives for keys/<id>/1.age; BACKUP is the directory that holds manifest.json.
import { createDecipheriv, createHash } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';

const [keysFile, backup, indexFile, stream] = process.argv.slice(2);
const json = (file) => JSON.parse(readFileSync(file, 'utf8'));
const keys = json(keysFile);
const write = (bytes) => {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // the reader of a pipe is slower
    }
  }
};

function open(object, key, number, name) {
  const nonce = Buffer.alloc(12); // part number as big-endian, zero for the index
  nonce.writeBigUInt64BE(BigInt(number), 4);
  const decipher = createDecipheriv('aes-256-gcm', Buffer.from(key, 'base64'), nonce, { authTagLength: 16 });
  decipher.setAAD(Buffer.from(`resurgo/1|${keys.backup}|${keys.attempt}|${name}`));
  decipher.setAuthTag(object.subarray(-16));
  return Buffer.concat([decipher.update(object.subarray(0, -16)), decipher.final()]); // final() throws if it was altered
}

if (indexFile === undefined) write(open(readFileSync(`${backup}/index`), keys.metadataKey, 0, 'index'));
else
  for (const part of json(indexFile).parts.filter((each) => each.stream === stream)) {
    const object = readFileSync(`${backup}/parts/${keys.attempt}-${String(part.n).padStart(6, '0')}`);
    if (createHash('sha256').update(object).digest('hex') !== part.sha256) throw new Error(`part ${part.n} is damaged`);
    write(open(object, keys.dataKey, part.n, `part|${part.n}`));
  }
