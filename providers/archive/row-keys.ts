/** How an archived row is known again: where it lies, which transaction wrote it, and a digest of all it says. */
import { ResurgoError } from '../../domain/errors.ts';

export interface RowKey {
  readonly ctid: string;
  readonly xmin: string;
  /** First 16 bytes of the SHA-256 of the row's text, hex. */
  readonly digest: string;
}

/**
 * SQL of the digest of a row. ctid and xmin alone would not do: VACUUM FULL and CLUSTER move rows, and rows of one transaction share their xmin.
 * Both sessions write values the same way (`plainSession`).
 */
export const digestSql = (alias: string): string => `pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256(pg_catalog.convert_to((${alias}.*)::pg_catalog.text, pg_catalog.getdatabaseencoding())), 1, 16), 'hex')`;

/** A line per row, in the order of the rows; lies in the encrypted index, which the host that wrote it can open. */
export const formatKeys = (keys: readonly RowKey[]): string => keys.map(({ ctid, xmin, digest }) => `${ctid} ${xmin} ${digest}\n`).join('');

/** @throws contentMismatch when there are not as many as rows */
export function parseKeys(text: string | undefined, rows: number): RowKey[] {
  const lines = (text ?? '').split('\n').slice(0, -1);
  const keys = lines.flatMap((line) => {
    const match = /^(\(\d+,\d+\)) (\d+) ([0-9a-f]{32})$/.exec(line);
    return match === null ? [] : [{ ctid: match[1] as string, xmin: match[2] as string, digest: match[3] as string }];
  });
  if (keys.length !== rows) throw new ResurgoError('contentMismatch', `the archive holds ${String(rows)} rows and the keys of ${String(keys.length)}`);
  return keys;
}
