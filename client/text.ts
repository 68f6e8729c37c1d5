/** Text for terminals: safe, measured, cut. */

/** Names and messages come from files and servers: without control characters they cannot steer the terminal. */

export const clean = (text: string): string =>
  text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

export const oneLine = (text: string): string =>
  clean(text)
    .replaceAll(/\s*[\n\t]\s*/g, ' ')
    .trim();

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const zero = /[\p{Mn}\p{Me}\p{Cf}]/u;

const charWidth = (char: string): number => (zero.test(char) ? 0 : wide.test(char) ? 2 : 1);

/** Columns a text takes on a terminal. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

/** Cut to `width` columns, with `…` where something is missing. */
export function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let result = '';
  let used = 0;
  for (const char of text) {
    if (used + charWidth(char) > width - 1) break;
    result += char;
    used += charWidth(char);
  }
  return width > 0 ? `${result}…` : '';
}

export const pad = (text: string, width: number, right = false): string => {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return right ? space + text : text + space;
};

export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** Aligned columns, two spaces apart; nothing is cut, so that it can be copied. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map((column) => column.title), ...rows.map((row) => row.map(oneLine))];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => displayWidth(row[i] ?? ''))));
  return cells
    .map((row) =>
      columns
        .map((column, i) => pad(row[i] ?? '', widths[i] ?? 0, column.right))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
