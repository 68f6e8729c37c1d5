/** The few messages of PostgreSQL's wire protocol (version 3) that the replication session needs. */

/** Fields of ErrorResponse and NoticeResponse by their letter: S severity, C SQLSTATE, M message, D detail, H hint. */
export type WireFields = Readonly<Partial<Record<string, string>>>;

function frame(type: string, body: Buffer): Buffer {
  const message = Buffer.allocUnsafe(5 + body.length);
  message.write(type, 0, 'latin1');
  message.writeInt32BE(4 + body.length, 1);
  body.copy(message, 5);
  return message;
}

export const queryMessage = (text: string): Buffer => frame('Q', Buffer.from(`${text}\0`));
export const copyDataMessage = (body: Buffer): Buffer => frame('d', body);
export const copyDone: Buffer = frame('c', Buffer.alloc(0));

export function parseFields(body: Buffer): WireFields {
  const fields: Partial<Record<string, string>> = {};
  for (let at = 0; at < body.length && body[at] !== 0;) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) break;
    fields[String.fromCharCode(body[at] as number)] = body.toString('utf8', at + 1, end);
    at = end + 1;
  }
  return fields;
}

/** Column names of a RowDescription. */
export function parseRowNames(body: Buffer): string[] {
  const names: string[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    names.push(body.toString('utf8', at, end));
    at = end + 1 + 18;
  }
  return names;
}

/** Values of a DataRow in text form. */
export function parseDataRow(body: Buffer): (string | null)[] {
  const values: (string | null)[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? null : body.toString('utf8', at, at + length));
    at += Math.max(0, length);
  }
  return values;
}
