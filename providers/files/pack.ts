import type { StreamSink } from '../../domain/ports.ts';
import { ResurgoError } from '../../domain/errors.ts';
import { startTool } from '../host/child.ts';
import { textOfBytes } from '../vault/tar-path.ts';
import { TarMembers, type MemberContent, type TarMember } from './tar-members.ts';

export interface PackOptions {
  /** File of paths without the leading `/`, each ended by a NUL byte. */
  readonly list: string;
  readonly stream: string;
  readonly sink: StreamSink;
  readonly onMember: (member: TarMember, content: MemberContent) => void;
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** A message about one file: its name in quotes, as in C, so that no name can end early. */
const aboutFile = /^(?:\S*\/)?tar: (?:Warning: )?"((?:[^"\\]|\\.)*)": (?:Warning: )?(.*)$/;
/** Said at the end, when something was said before. */
const closing = /^(?:\S*\/)?tar: (Exiting with failure status|Error exit delayed)/;

/**
 * Packs the listed files by GNU tar and seals the stream as it comes. Directories are not entered: the list says everything.
 * @returns what tar said about single files, by path; whether it hurts is for the caller to find out
 * @throws dumpFailed when tar failed as a whole
 */
export async function packFiles({ list, stream, sink, onMember, onBytes, signal }: PackOptions): Promise<Map<string, string>> {
  const said = new Map<string, string>();
  const others: string[] = [];
  const members = new TarMembers(stream, { begin: () => false, end: onMember }, { digest: true });
  const tool = startTool({
    command: 'tar',
    args: [
      '--create', '--file=-', '--directory=/', '--format=pax', '--pax-option=delete=atime,delete=ctime', '--sparse', '--numeric-owner',
      '--xattrs', '--xattrs-include=*', '--acls', '--quoting-style=c', '--no-recursion', '--null', '--verbatim-files-from', `--files-from=${list}`,
    ],
    okExitCodes: [0, 1, 2],
    signal,
    onStderrLine: (line) => {
      if (closing.test(line)) return;
      const [, name, message] = aboutFile.exec(line) ?? [];
      if (name === undefined || message === undefined) others.push(line);
      else said.set(unescapeName(name), message);
    },
  });
  try {
    for await (const chunk of tool.stdout as AsyncIterable<Buffer>) {
      members.write(chunk);
      const full = sink.write(chunk);
      if (full !== undefined) await full;
      onBytes(chunk.length);
    }
  } catch (error) {
    tool.stop(error);
  }
  const end = await tool.done;
  // An archive without its end mark is no archive.
  try {
    members.end();
  } catch (error) {
    throw new ResurgoError('dumpFailed', `tar ended with exit code ${String(end.exitCode)} before its archive was complete: ${end.stderr.slice(-1000)}`, { cause: error });
  }
  // 1: something about a file. 2 is worse, and what was said of no file is about all of them.
  if (end.exitCode !== 0 && (said.size === 0 || (end.exitCode === 2 && others.length > 0))) throw new ResurgoError('dumpFailed', `tar ended with exit code ${String(end.exitCode)}: ${others.join('; ').slice(0, 1000)}`);
  return said;
}

/** GNU tar's `--quoting-style=c`, back to the name as a listing has it. */
function unescapeName(text: string): string {
  // Every other character stands for itself: of a name in a message tar escapes the colon as well.
  const simple: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\u0007', b: '\b', f: '\f', v: '\v' };
  return decodeEscaped(text.replace(/\\([0-7]{3}|.)/gs, (_: string, code: string) => (code.length === 3 ? `\u0000${code}` : (simple[code] ?? code))));
}

/** Octal escapes are bytes of UTF-8, or stray ones. */
function decodeEscaped(text: string): string {
  if (!text.includes('\0')) return text;
  const pieces = text.split(/\0([0-7]{3})/);
  return textOfBytes(Buffer.concat(pieces.map((piece, i) => (i % 2 === 0 ? Buffer.from(piece) : Buffer.of(Number.parseInt(piece, 8))))));
}
