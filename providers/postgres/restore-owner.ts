import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ResurgoError } from '../../domain/errors.ts';
import type { Owner } from './data-tree.ts';

async function nearest(path: string): Promise<Owner> {
  for (let at = path; ; at = dirname(at)) {
    try {
      return await stat(at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || at === dirname(at)) throw error;
    }
  }
}

async function postgresUser(): Promise<Owner | undefined> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const fields = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === 'postgres');
  return fields ? { uid: Number(fields[2]), gid: Number(fields[3]) } : undefined;
}

/**
 * Who is to own the restored files; undefined when they are ours anyway, since only root can give files away. PostgreSQL refuses a data
 * directory that is not its own, and to run as root. Order: given, owner of the destination, of the directory it lies in, user postgres.
 * @throws restoreFailed when it would be root
 */
export async function restoreOwner(destination: string, given?: Owner): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = given ?? (await nearest(destination));
  const owner = existing.uid === 0 ? await postgresUser() : { uid: existing.uid, gid: existing.gid };
  if (!owner) {
    throw new ResurgoError(
      'restoreFailed',
      `${destination} would belong to root, as which PostgreSQL does not run, and there is no user postgres.`,
      {
        details: { hint: 'Create the directory, give it to the user who runs the server (chown), and try again.' },
      },
    );
  }
  return owner;
}
