const alphabet = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

/** Whether the checksum of a lower-case Bech32 string fits (BIP 173, without its length limit, as age uses it). */
export function isBech32(text: string): boolean {
  const separator = text.lastIndexOf('1');
  if (separator < 1 || text.length - separator < 7 || text !== text.toLowerCase()) return false;
  const prefix = [...text.slice(0, separator)].map((c) => c.charCodeAt(0));
  const data = [...text.slice(separator + 1)].map((c) => alphabet.indexOf(c));
  if (data.includes(-1)) return false;
  let check = 1;
  for (const value of [...prefix.map((c) => c >> 5), 0, ...prefix.map((c) => c & 31), ...data]) {
    const top = check >>> 25;
    check = ((check & 0x1ffffff) << 5) ^ value;
    for (const [i, g] of generator.entries()) if ((top >> i) & 1) check ^= g;
  }
  return check === 1;
}
