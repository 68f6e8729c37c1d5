/** Quotes an SQL identifier, always. @throws RangeError on NUL, which PostgreSQL cannot hold. */
export function quoteIdent(name: string): string {
  if (name.includes('\0')) throw new RangeError('An SQL identifier cannot contain NUL.');
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes an SQL string literal whatever `standard_conforming_strings` says. @throws RangeError on NUL. */
export function quoteLiteral(value: string): string {
  if (value.includes('\0')) throw new RangeError('An SQL string cannot contain NUL.');
  const doubled = value.replaceAll("'", "''");
  return value.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}
