/** Ids of the repositories this host has used, one small file each: `<state>/repositories/<name>`. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

const pathOf = (stateDir: string, name: string): string => join(stateDir, 'repositories', name);

/** The id a repository of this name had, or undefined when it was never used here. */
export async function knownRepository(stateDir: string, name: string): Promise<string | undefined> {
  const text = await readFile(pathOf(stateDir, name), 'utf8').catch(() => '');
  return text.trim() === '' ? undefined : text.trim();
}

/** To use another repository under the same name, remove the file. */
export async function rememberRepository(stateDir: string, name: string, id: string): Promise<void> {
  const path = pathOf(stateDir, name);
  await mkdir(join(stateDir, 'repositories'), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomUUID()}.tmp`;
  await writeFile(temporary, `${id}\n`, { mode: 0o600 });
  await rename(temporary, path);
}
