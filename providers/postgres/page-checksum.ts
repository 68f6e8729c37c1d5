/** PostgreSQL's page checksum (src/include/storage/checksum_impl.h): 32 parallel FNV-1a sums, folded, mixed with the block number. */
const prime = 16777619;
const baseOffsets = Uint32Array.of(
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
);
const lanes = 32;
/** Bytes 8 and 9 of a page hold the checksum and count as zero. */
const checksumOffset = 8;

/** Sum of a page, without the block number. */
export function pageSum(page: Buffer): number {
  const sums = Uint32Array.from(baseOffsets);
  const mix = (lane: number, value: number): void => {
    const mixed = ((sums[lane] as number) ^ value) >>> 0;
    sums[lane] = Math.imul(mixed, prime) ^ (mixed >>> 17);
  };
  for (let at = 0; at < page.length; at += 4) {
    const value = page.readUInt32LE(at);
    mix((at / 4) % lanes, at === checksumOffset ? (value & 0xffff0000) >>> 0 : value);
  }
  for (let round = 0; round < 2; round++) for (let lane = 0; lane < lanes; lane++) mix(lane, 0);
  return sums.reduce((result, sum) => (result ^ sum) >>> 0, 0);
}

/** The checksum a page with this sum carries as block `blockNumber` of its fork. */
export const checksumOfBlock = (sum: number, blockNumber: number): number => (((sum ^ blockNumber) >>> 0) % 65535) + 1;

export const pageChecksum = (page: Buffer, blockNumber: number): number => checksumOfBlock(pageSum(page), blockNumber);
