/** For whom the keys of a backup are wrapped, by the names and notes beside them: nothing is opened, so a host without an identity can ask too. */
import type { ObjectStore } from '../../domain/ports.ts';
import { isResurgoError } from '../../domain/errors.ts';
import { keysPrefix } from '../repository/layout.ts';
import type { AgeAudience } from './age-file.ts';

const wrappedName = /^(\d{1,9})\.age$/;

export interface WrappedKeys {
  /** Whoever can open one of the files. */
  readonly recipients: ReadonlySet<string>;
  /** One of the files is, or may be, for a passphrase. */
  readonly passphrase: boolean;
  readonly files: number;
}

/** `original`: whom the first file was made for, which the manifest says; asked only where no note does. */
export async function wrappedFor(store: ObjectStore, id: string, original: () => Promise<readonly string[]>, signal?: AbortSignal): Promise<WrappedKeys> {
  const prefix = keysPrefix(id);
  const names = new Set<string>();
  for await (const { key, size } of store.list(prefix, signal)) if (size > 0) names.add(key.slice(prefix.length));
  const files = [...names].flatMap((name) => wrappedName.exec(name)?.[1] ?? []);
  const recipients = new Set<string>();
  let passphrase = false;
  for (const file of files) {
    const noted = names.has(`${file}.recipients`) ? await readNote(store, `${prefix}${file}.recipients`, signal) : undefined;
    const known = noted ?? (file === '1' ? await original() : []);
    // A rotation to a passphrase leaves no note, as one that died before it could; and a manifest of such a time names nobody.
    if (known.length === 0) passphrase = true;
    for (const one of known) recipients.add(one);
  }
  return { recipients, passphrase, files: files.length };
}

async function readNote(store: ObjectStore, key: string, signal?: AbortSignal): Promise<readonly string[] | undefined> {
  try {
    const note = JSON.parse((await store.get(key, signal && { signal })).toString('utf8')) as { recipients?: unknown } | null;
    return Array.isArray(note?.recipients) ? note.recipients.filter((one): one is string => typeof one === 'string') : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || isResurgoError(error, 'objectMissing')) return undefined;
    throw error;
  }
}

/** Why somebody who is to restore now could not open them, in words; undefined when all can. */
export function cannotOpen(keys: WrappedKeys, audience: AgeAudience): string | undefined {
  if (keys.files === 0) return 'there are none';
  const missing = (audience.recipients ?? []).filter((one) => !keys.recipients.has(one));
  if (missing.length > 0) return `they are not wrapped for ${missing.join(', ')}`;
  return audience.passphrase !== undefined && !keys.passphrase ? 'they are wrapped for recipients, not for the passphrase' : undefined;
}
