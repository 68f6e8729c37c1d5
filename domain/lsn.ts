/** Positions in the WAL as numbers of bytes from its beginning. */

/** `16/B374D848` → bytes. @throws RangeError */
export function parseLsn(text: string): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (!match) throw new RangeError(`${JSON.stringify(text)} is not an LSN (like 16/B374D848).`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

export const isLsn = (text: string): boolean => /^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/.test(text);

export const formatLsn = (lsn: bigint): string => `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;

/** 16 hexadecimal digits: sorts as it counts. */
export const hexLsn = (lsn: bigint): string => lsn.toString(16).toUpperCase().padStart(16, '0');

/** Name of a WAL file of PostgreSQL: timeline, then the segment's number in two halves. */
export function segmentFile(timeline: number, lsn: bigint, segmentBytes: number): string {
  const perLog = 0x100000000n / BigInt(segmentBytes);
  const segment = lsn / BigInt(segmentBytes);
  const part = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
  return part(BigInt(timeline)) + part(segment / perLog) + part(segment % perLog);
}

/** Timeline and first position of a WAL file; undefined for any other name. */
export function parseSegmentFile(name: string, segmentBytes: number): { timeline: number; start: bigint } | undefined {
  if (!/^[0-9A-F]{24}$/.test(name)) return undefined;
  const perLog = 0x100000000n / BigInt(segmentBytes);
  const segment = BigInt(`0x${name.slice(8, 16)}`) * perLog + BigInt(`0x${name.slice(16)}`);
  return { timeline: Number.parseInt(name.slice(0, 8), 16), start: segment * BigInt(segmentBytes) };
}

/** Bytes from one position to another; negative when `to` comes first. @throws RangeError */
export const lsnDistance = (from: string, to: string): number => Number(parseLsn(to) - parseLsn(from));
