/** One 512-byte ustar header for a regular file, owned by nobody in particular, mode 0600. @throws RangeError on long names */
export const ustarHeader = (name: string, size: number, mtimeSeconds: number): Buffer => {
  const header = Buffer.alloc(512);
  if (Buffer.byteLength(name) > 100) throw new RangeError(`tar entry name too long: ${name}`);
  header.write(name, 0, 'utf8');
  header.write('0000600\0', 100, 'latin1');
  header.write('0000000\0', 108, 'latin1');
  header.write('0000000\0', 116, 'latin1');
  if (size < 8 ** 11) {
    header.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  } else {
    header[124] = 0x80; // Base 256, as GNU and star write sizes from 8 GiB on.
    header.writeBigUInt64BE(BigInt(size), 128);
  }
  header.write(`${Math.floor(mtimeSeconds).toString(8).padStart(11, '0')}\0`, 136, 'latin1');
  header.write('        0', 148, 'latin1');
  header.write('ustar\u000000', 257, 'latin1');
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
};

/** Zero bytes that fill a file's content up to a whole block. */
export const ustarPadding = (size: number): Buffer => Buffer.alloc((512 - (size % 512)) % 512);

/** Two empty blocks end an archive. */
export const ustarEnd = (): Buffer => Buffer.alloc(1024);
