import { displayWidth } from '../client/text.ts';
import { formatDuration } from '../config/units.ts';

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';
const codes: Readonly<Record<Style, number>> = { bold: 1, dim: 2, green: 32, red: 31, yellow: 33, cyan: 36 };

const margin = '    ';

/** What the demo writes: headings, commands with their output, remarks, and one line that is redrawn while something takes time. */
export class Screen {
  private readonly stream: NodeJS.WriteStream;
  private readonly colour: boolean;
  private readonly live: boolean;
  private readonly width: number;
  private busyText: (() => string) | undefined;
  private timer: NodeJS.Timeout | undefined;
  private drawn = false;
  private step = 0;

  constructor(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv) {
    this.stream = stream;
    this.live = stream.isTTY && env['TERM'] !== 'dumb' && !env['CI'];
    this.colour = env['FORCE_COLOR'] !== undefined || (this.live && !env['NO_COLOR']);
    this.width = Math.max(60, Math.min(100, stream.isTTY ? stream.columns : 100));
  }

  style(text: string, ...styles: readonly Style[]): string {
    return this.colour ? `\u001b[${styles.map((style) => codes[style]).join(';')}m${text}\u001b[0m` : text;
  }

  title(text: string): void {
    this.write(this.style(text, 'bold'));
  }

  heading(text: string): void {
    this.write(`\n${this.style(`${String(++this.step)}  ${text}`, 'bold', 'cyan')}`);
  }

  /** What a person would type. */
  command(text: string, remark = ''): void {
    this.write(
      `  ${this.style('$', 'green')} ${this.style(text, 'bold')}${remark === '' ? '' : this.style(`   # ${remark}`, 'dim')}`,
    );
  }

  /** A line that a command wrote. */
  output(text: string, remark = false): void {
    for (const line of this.wrap(text)) this.write(`${margin}${remark ? this.style(line, 'dim') : line}`);
  }

  /** Something the demo itself says. */
  say(text: string): void {
    for (const line of this.wrap(text)) this.write(`  ${line}`);
  }

  good(text: string, ms?: number): void {
    const time = ms === undefined ? '' : this.style(`  ${formatDuration(ms)}`, 'dim');
    this.write(`  ${this.style('✓', 'green')} ${text}${time}`);
  }

  alarm(text: string): void {
    this.write(`  ${this.style(text, 'yellow', 'bold')}`);
  }

  bad(text: string): void {
    this.write(`\n${this.style('✗', 'red', 'bold')} ${text}`);
  }

  blank(): void {
    this.write('');
  }

  /** Shows `text()` on the last line, with the time it takes, until the work has ended. */
  async busy<T>(text: () => string, work: () => Promise<T>): Promise<T> {
    const since = performance.now();
    if (!this.live) return work();
    this.busyText = () => `  ${text()} … ${formatDuration(Math.floor((performance.now() - since) / 100) * 100)}`;
    this.timer = setInterval(() => this.draw(), 200);
    try {
      return await work();
    } finally {
      clearInterval(this.timer);
      this.busyText = undefined;
      this.clear();
    }
  }

  write(line: string): void {
    this.clear();
    this.stream.write(`${line}\n`);
  }

  private draw(): void {
    if (this.busyText === undefined) return;
    const line = this.busyText().slice(0, this.width - 1);
    this.stream.write(`\r${this.style(line, 'dim')}\u001b[K`);
    this.drawn = true;
  }

  private clear(): void {
    if (this.drawn) this.stream.write('\r\u001b[K');
    this.drawn = false;
  }

  /** At spaces, further lines indented as the first; a word that is too long (a link) stays whole. */
  private wrap(text: string): string[] {
    const room = this.width - margin.length;
    if (displayWidth(text) <= room) return [text];
    const indent = ' '.repeat(Math.min(20, (/^ */.exec(text)?.[0].length ?? 0) + 2));
    const lines: string[] = [];
    let line = '';
    for (const word of text.split(/(?<=\S)(?= )/)) {
      if (line !== '' && displayWidth(line + word) > room) {
        lines.push(line);
        line = `${indent}${word.trimStart()}`;
      } else line += word;
    }
    return [...lines, line];
  }
}
