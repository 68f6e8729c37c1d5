/** Changes `encryption.recipients` in the configuration file, comments and everything else left as they are. */
import { chmodSync, chownSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { isMap, isScalar, isSeq, parseDocument } from 'yaml';
import { parseConfig, type LoadedConfig } from '../../config/load.ts';
import { ResurgoError } from '../../domain/errors.ts';

/** Writes a file so that either the old or the new content is there, with owner and mode of the old. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const before = statSync(file);
  const draft = path.join(path.dirname(file), `.${path.basename(file)}.${String(process.pid)}`);
  try {
    const handle = await open(draft, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    chmodSync(draft, before.mode & 0o7777);
    if (process.getuid?.() === 0) chownSync(draft, before.uid, before.gid);
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw new ResurgoError('configInvalid', `${file} cannot be written: ${error instanceof Error ? error.message : String(error)}; nothing was changed`, { cause: error });
  }
}

/**
 * @returns the recipients that stand there now
 * @throws configInvalid when the list is not written out in the file (a reference, an alias) or what would come out is not a valid configuration
 */
export async function editRecipients(loaded: LoadedConfig, change: (now: readonly string[]) => readonly string[], env: NodeJS.ProcessEnv): Promise<string[]> {
  const text = readFileSync(loaded.path, 'utf8');
  const document = parseDocument(text);
  const encryption = document.get('encryption', true);
  const list = isMap(encryption) ? encryption.get('recipients', true) : undefined;
  if (!isSeq(list) || !list.items.every((item) => isScalar(item) && typeof item.value === 'string')) {
    throw new ResurgoError('configInvalid', `${loaded.path}: encryption.recipients is not a plain list of age public keys, so it is not changed for you`, {
      details: { hint: 'Change it by hand, then run `resurgo keys rewrap`.' },
    });
  }
  const now = list.items.map((item) => String((item as { value: unknown }).value));
  const wanted = [...new Set(change(now))];
  for (let i = list.items.length - 1; i >= 0; i--) if (!wanted.includes(now[i] ?? '')) list.delete(i);
  for (const recipient of wanted) if (!now.includes(recipient)) list.add(document.createNode(recipient));
  const changed = document.toString({ lineWidth: 0 });
  parseConfig(changed, { shown: loaded.path, dir: loaded.dir, env });
  if (wanted.join('\n') !== now.join('\n')) await replaceFile(loaded.path, changed);
  return wanted;
}
