import { formatBytes, formatDuration } from '../config/units.ts';
import { clean, formatTable } from './text.ts';
import type { Column } from './text.ts';

export { formatBytes, formatDuration };

export interface OutputStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: NodeJS.ProcessEnv;
}

export type Style = 'red' | 'yellow' | 'green' | 'dim' | 'bold';
const codes: Readonly<Record<Style, string>> = { red: '31', yellow: '33', green: '32', dim: '2', bold: '1' };

/** The two streams and what may be said on them: results on stdout, everything else on stderr; with `--json` one document on stdout. */
export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** A live display may be drawn on stderr. */
  readonly live: boolean;
  private readonly options: OutputOptions;
  private hasResult = false;
  private beforeWrite: (() => void) | undefined;

  constructor(options: OutputOptions) {
    this.options = options;
    this.json = options.json;
    this.quiet = options.quiet;
    const { env, stderr } = options;
    this.live = stderr.isTTY === true && env['TERM'] !== 'dumb' && !env['CI'] && !options.quiet;
  }

  /** Columns of the terminal that progress is drawn on. */
  get width(): number {
    return Math.max(20, this.options.stderr.columns ?? 80);
  }

  get height(): number {
    return Math.max(5, this.options.stderr.rows ?? 24);
  }

  /** The command's result: `document` with `--json`, else the text. Once per command. */
  result(document: object, text: string | (() => string)): void {
    if (this.json) this.document(document);
    else this.print(typeof text === 'string' ? text : text());
  }

  /** The JSON document itself; adds `schemaVersion: 1` where it is missing and the document is no list. */
  document(document: object): void {
    if (this.hasResult) throw new Error('a second JSON document for one command');
    this.hasResult = true;
    const versioned =
      Array.isArray(document) || 'schemaVersion' in document ? document : { schemaVersion: 1, ...document };
    this.write(this.options.stdout, `${JSON.stringify(versioned, null, 2)}\n`);
  }

  get documentWritten(): boolean {
    return this.hasResult;
  }

  /** Words for people: stdout, or stderr with `--json`. */
  print(text: string): void {
    if (text === '') return;
    if (!this.json) this.write(this.options.stdout, `${clean(text)}\n`);
    else if (!this.quiet) this.write(this.options.stderr, `${clean(text)}\n`);
  }

  /** A line of a list: its mark coloured, the text cleaned. Goes where {@link print} goes. */
  line(mark: string, style: Style, text: string): void {
    const target = this.json ? 'stderr' : 'stdout';
    if (this.json && this.quiet) return;
    this.write(this.options[target], `${this.style(mark, style, target)}${clean(text)}\n`);
  }

  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
    this.print(formatTable(columns, rows));
  }

  /** Remarks on stderr; not with `--quiet`. */
  note(text: string): void {
    if (!this.quiet) this.write(this.options.stderr, `${clean(text)}\n`);
  }

  warn(text: string): void {
    this.write(this.options.stderr, `${this.style('warning:', 'yellow')} ${clean(text)}\n`);
  }

  error(message: string, hint?: string): void {
    this.write(
      this.options.stderr,
      `${this.style('error:', 'red')} ${clean(message)}\n${hint ? `${this.style('hint:', 'bold')} ${clean(hint)}\n` : ''}`,
    );
  }

  /** As it is, control characters included, to stderr: for the progress display. */
  raw(text: string): void {
    this.options.stderr.write(text);
  }

  /** Something drawn on the terminal is taken away before other text is written. */
  onBeforeWrite(clear: (() => void) | undefined): void {
    this.beforeWrite = clear;
  }

  style(text: string, style: Style, stream: 'stdout' | 'stderr' = 'stderr'): string {
    const { env } = this.options;
    const colour = this.options[stream].isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
    return colour ? `\u001b[${codes[style]}m${text}\u001b[0m` : text;
  }

  private write(stream: OutputStream, text: string): void {
    this.beforeWrite?.();
    stream.write(text);
  }
}
