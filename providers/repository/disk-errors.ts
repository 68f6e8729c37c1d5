import { type ErrorCode, isResurgoError, ResurgoError } from '../../domain/errors.ts';

export const errnoOf = (error: unknown): string | undefined => {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
};

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'repositoryFull',
  EDQUOT: 'repositoryFull',
  EFBIG: 'repositoryFull',
  EACCES: 'repositoryDenied',
  EPERM: 'repositoryDenied',
  EROFS: 'repositoryDenied',
  ELOOP: 'unsafePath',
  ENOTDIR: 'unsafePath',
  ENAMETOOLONG: 'inputInvalid',
  EINVAL: 'inputInvalid',
};

/** An error of the file system in words and code; anything unknown counts as "not reachable now", which is tried again. */
export function diskError(error: unknown, what: string): ResurgoError {
  if (isResurgoError(error)) return error;
  const errno = errnoOf(error);
  if (errno === undefined)
    return new ResurgoError('bug', `${what}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  const code = codes[errno] ?? 'repositoryUnreachable';
  return new ResurgoError(code, `${what}: ${reason(errno)}.`, { cause: error, details: { errno } });
}

function reason(errno: string): string {
  switch (errno) {
    case 'ENOSPC':
      return 'no space left on the device (ENOSPC)';
    case 'EDQUOT':
      return 'the disk quota is used up (EDQUOT)';
    case 'EFBIG':
      return 'the file system takes no file of this size (EFBIG)';
    case 'EACCES':
    case 'EPERM':
      return `permission denied (${errno})`;
    case 'EROFS':
      return 'the file system is read-only (EROFS)';
    case 'EIO':
      return 'input/output error (EIO)';
    case 'ESTALE':
      return 'the network file system lost the file (ESTALE)';
    case 'ENOENT':
      return 'it is not there (ENOENT); is the disk mounted?';
    case 'ELOOP':
      return 'a symbolic link lies in the way (ELOOP)';
    case 'ENOTDIR':
      return 'a part of the path is no directory (ENOTDIR)';
    case 'ENAMETOOLONG':
      return 'the name is too long for the file system (ENAMETOOLONG)';
    case 'EMFILE':
    case 'ENFILE':
      return `too many open files (${errno})`;
    default:
      return errno;
  }
}

/** For `.catch`: what is not there is undefined, anything else is thrown. */
export function undefinedIfMissing(error: unknown): undefined {
  if (errnoOf(error) !== 'ENOENT') throw error;
}
