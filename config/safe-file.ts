import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import type { Stats } from 'node:fs';
import path from 'node:path';
import { ResurgoError } from '../domain/errors.ts';

const maxSecretBytes = 64 * 1024;
const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');

/** A group of which the user is the only member, as `useradd` makes them: gid and uid are the same number. */
const isPrivateGroup = (info: Stats): boolean => info.gid === info.uid && info.uid !== 0;

const unreadable = (what: string, file: string, error: unknown): ResurgoError => {
  const code = (error as NodeJS.ErrnoException).code ?? 'error';
  const reason = {
    ENOENT: 'does not exist',
    EACCES: 'may not be read by this user',
    EISDIR: 'is a directory',
    ELOOP: 'is a loop of symbolic links',
    ENOTDIR: 'lies below something that is no directory',
  }[code];
  return new ResurgoError('configInvalid', `${what}: file ${file} ${reason ?? `cannot be read (${code})`}.`, {
    cause: error,
    details: { hint: 'Correct the path, or create the file.' },
  });
};

/** Opens, checks and reads through one descriptor, so that what was checked is what is read. Never blocks on a FIFO. */
function readChecked(file: string, what: string, limit: number, check: (info: Stats) => void): Buffer {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const info = fstatSync(descriptor);
    if (info.isDirectory()) throw Object.assign(new Error('directory'), { code: 'EISDIR' });
    if (!info.isFile())
      throw new ResurgoError('configInvalid', `${what}: ${file} is not a regular file.`, {
        details: { hint: 'Name a regular file.' },
      });
    if (info.size > limit)
      throw new ResurgoError(
        'configInvalid',
        `${what}: file ${file} has ${info.size} bytes; at most ${limit} are read.`,
        { details: { hint: 'Is it the right file?' } },
      );
    check(info);
    return readFileSync(descriptor);
  } catch (error) {
    if (error instanceof ResurgoError) throw error;
    throw unreadable(what, file, error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/**
 * Reads a key or password file, refusing one that others may read.
 * Group access is allowed only as `root:group 0640` or `0440`, the way secret mounts come.
 * @throws configInvalid, configUnsafe
 */
export function readPrivateFile(file: string, what: string): string {
  const bytes = readChecked(file, what, maxSecretBytes, (info) => {
    const group = info.uid === 0 && process.getuid?.() !== 0 ? 0o030 : 0o070;
    if ((info.mode & (group | 0o007)) !== 0) {
      throw new ResurgoError(
        'configUnsafe',
        `${what}: file ${file} has mode ${octal(info.mode)}, so others may read it.`,
        { details: { hint: `chmod 600 ${file}` } },
      );
    }
  });
  return decodeUtf8(bytes, what, file);
}

/**
 * Reads the configuration, refusing one that others may change: it names the commands that are run.
 * @throws configInvalid, configUnsafe
 */
export function readTrustedFile(file: string, what: string, limit: number): { bytes: Buffer; info: Stats } {
  let found: Stats | undefined;
  const bytes = readChecked(file, what, limit, (info) => {
    found = info;
    refuseWritable(info, file, what);
    const uid = process.getuid?.() ?? 0;
    if (uid !== 0 && info.uid !== 0 && info.uid !== uid) {
      throw new ResurgoError(
        'configUnsafe',
        `${what}: file ${file} belongs to user ${info.uid}, who may change it, and this is user ${uid}.`,
        { details: { hint: `chown the file to user ${uid} or root.` } },
      );
    }
  });
  refuseOpenDirectory(path.dirname(path.resolve(file)), what);
  return { bytes, info: found as unknown as Stats };
}

function refuseWritable(info: Stats, file: string, what: string): void {
  const group = (info.mode & 0o020) !== 0 && !isPrivateGroup(info);
  if (group || (info.mode & 0o002) !== 0) {
    throw new ResurgoError(
      'configUnsafe',
      `${what}: file ${file} has mode ${octal(info.mode)}, so others may change it.`,
      { details: { hint: `chmod go-w ${file}` } },
    );
  }
}

/** Who may write the directory may replace the file, unless it is sticky like /tmp. */
function refuseOpenDirectory(directory: string, what: string): void {
  const info = statSync(directory);
  if ((info.mode & 0o002) !== 0 && (info.mode & 0o1000) === 0) {
    throw new ResurgoError(
      'configUnsafe',
      `${what}: directory ${directory} has mode ${octal(info.mode)}, so others may replace files in it.`,
      { details: { hint: `chmod o-w ${directory}` } },
    );
  }
}

/**
 * Refuses a program of a hook that others may change. Trusted owners: root, this user and the configuration's owner.
 * @throws configInvalid when it cannot be run, configUnsafe
 */
export function checkHookProgram(file: string, what: string, configOwner: number): void {
  let info: Stats;
  try {
    info = statSync(file);
  } catch (error) {
    throw unreadable(what, file, error);
  }
  if (!info.isFile() || (info.mode & 0o111) === 0) {
    throw new ResurgoError('configInvalid', `${what}: ${file} is not a program (mode ${octal(info.mode)}).`, {
      details: { hint: `chmod +x ${file}, or name another.` },
    });
  }
  refuseWritable(info, file, what);
  if (![0, process.getuid?.() ?? 0, configOwner].includes(info.uid)) {
    throw new ResurgoError('configUnsafe', `${what}: ${file} belongs to user ${info.uid}, who may change it.`, {
      details: { hint: 'chown it to root or to the user of the worker.' },
    });
  }
  refuseOpenDirectory(path.dirname(file), what);
}

/** @throws configInvalid naming the line of the first byte that is not UTF-8 */
export function decodeUtf8(bytes: Buffer, what: string, file: string): string {
  const invalid = (reason: string): never => {
    throw new ResurgoError('configInvalid', `${what}: file ${file} ${reason}.`, {
      details: { hint: 'Save it as UTF-8 text.' },
    });
  };
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) return invalid('is UTF-16');
  const nul = bytes.indexOf(0);
  if (nul >= 0) return invalid(`has a NUL byte at line ${lineOf(bytes, nul)}`);
  try {
    // The decoder drops a UTF-8 byte order mark.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const loose = new TextDecoder('utf-8').decode(bytes);
    return invalid(`is not UTF-8 (line ${loose.slice(0, Math.max(0, loose.indexOf('\ufffd'))).split('\n').length})`);
  }
}

const lineOf = (bytes: Buffer, offset: number): number =>
  bytes.subarray(0, offset).toString('latin1').split('\n').length;
