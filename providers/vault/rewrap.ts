/** Key rotation: the wrapped keys of what is stored are wrapped anew; no data is written again. */
import { isResurgoError, ResurgoError } from '../../domain/errors.ts';
import type { ObjectStore } from '../../domain/ports.ts';
import { decryptAge, encryptToAge, type AgeAudience, type AgeCredentials } from './age-file.ts';
import { sha256Hex } from './sums.ts';

/** Key files of one backup (or another holder of keys): everything below `keys/<id>/`. */
export interface KeySet {
  readonly id: string;
  /** Newest first: `3.age`, `2.age` …; `host.age` apart. */
  readonly wrapped: readonly string[];
  /** Recipients noted beside the newest file, where it was wrapped by a rotation. */
  readonly noted: string | undefined;
}

export interface Rewrapped {
  readonly status: 'rewrapped' | 'current';
  /** Name and digest of the file that holds now. */
  readonly file: string;
  readonly sha256: string;
  /** Older files that the store would not let go: who could open them still can. */
  readonly kept: readonly { readonly file: string; readonly why: string }[];
}

const keysRoot = 'keys/';
const wrappedName = /^(\d{1,9})\.age$/;
const noteOf = (file: string): string => file.replace(/\.age$/, '.recipients');

/** Every set of keys in a repository, by id. One LIST. */
export async function listKeySets(store: ObjectStore, signal?: AbortSignal): Promise<KeySet[]> {
  const sets = new Map<string, { files: string[]; notes: Set<string> }>();
  for await (const { key } of store.list(keysRoot, signal)) {
    const [id, file, ...more] = key.slice(keysRoot.length).split('/');
    if (id === undefined || file === undefined || more.length > 0) continue;
    const set = sets.get(id) ?? { files: [], notes: new Set<string>() };
    if (wrappedName.test(file)) set.files.push(file);
    else if (file.endsWith('.recipients')) set.notes.add(file);
    sets.set(id, set);
  }
  return [...sets].flatMap(([id, { files, notes }]) => {
    const wrapped = files.sort((a, b) => numberOf(b) - numberOf(a));
    const [newest] = wrapped;
    return newest === undefined ? [] : [{ id, wrapped, noted: notes.has(noteOf(newest)) ? noteOf(newest) : undefined }];
  });
}

const numberOf = (file: string): number => Number(wrappedName.exec(file)?.[1] ?? 0);

/** What the note beside a wrapped file says: for whom it is. A passphrase has no mark that could be told without helping to guess it. */
export const audienceMark = (audience: AgeAudience): string | undefined =>
  audience.recipients === undefined ? undefined : JSON.stringify({ recipients: [...audience.recipients].sort() });

export interface RewrapOptions {
  readonly store: ObjectStore;
  readonly set: KeySet;
  readonly credentials: AgeCredentials;
  readonly audience: AgeAudience;
  /** Whom the first file is known to be for (the manifest says it), as {@link audienceMark}. */
  readonly original?: string;
  /** Called when the new file is safe and before the old ones go: notes its digest where verification looks for it. */
  readonly beforeRemoval?: (file: string, sha256: string) => Promise<void>;
  readonly signal?: AbortSignal;
}

/**
 * Wraps one set of keys for another audience: writes and reads back the new file, then removes the older ones. Stopped anywhere, at least one
 * file that an old or a new identity opens is there; a second call goes on.
 * @throws wrongKey, keyMissing when none of the files opens; repositoryLost when what was written does not come back
 */
export async function rewrap(options: RewrapOptions): Promise<Rewrapped> {
  const { store, set, audience, signal } = options;
  const reading = signal === undefined ? {} : { signal };
  const keyOf = (file: string): string => `${keysRoot}${set.id}/${file}`;
  const mark = audienceMark(audience);
  const newest = set.wrapped[0] as string;
  const known = set.noted === undefined ? (numberOf(newest) === 1 ? options.original : undefined) : await noteText(store, keyOf(set.noted), signal);
  let file = newest;
  let body: Uint8Array;
  const isCurrent = mark !== undefined && known === mark;
  if (isCurrent) body = await store.get(keyOf(newest), reading);
  else {
    file = `${String(numberOf(newest) + 1)}.age`;
    body = await encryptToAge(await openAny(options), audience);
    await store.put(keyOf(file), body, { ...reading, ifAbsent: true });
    const back = await store.get(keyOf(file), reading);
    if (!back.equals(body)) throw new ResurgoError('repositoryLost', `repository ${store.name} acknowledged ${keyOf(file)} and holds something else`);
    // Last: a file without a note is wrapped once more, which does no harm.
    if (mark !== undefined) await store.put(keyOf(noteOf(file)), Buffer.from(mark), reading);
  }
  const sha256 = sha256Hex(body);
  const older = set.wrapped.filter((each) => each !== file);
  if (older.length > 0 || !isCurrent) await options.beforeRemoval?.(file, sha256);
  const kept: { file: string; why: string }[] = [];
  for (const each of older) {
    try {
      await store.delete([keyOf(each), keyOf(noteOf(each))], signal);
    } catch (error) {
      if (!isResurgoError(error) || error.definition.retryable) throw error;
      kept.push({ file: keyOf(each), why: error.message });
    }
  }
  return { status: isCurrent && older.length === 0 ? 'current' : 'rewrapped', file, sha256, kept };
}

async function noteText(store: ObjectStore, key: string, signal?: AbortSignal): Promise<string | undefined> {
  try {
    return (await store.get(key, signal === undefined ? {} : { signal })).toString('utf8');
  } catch (error) {
    if (isResurgoError(error, 'objectMissing')) return undefined;
    throw error;
  }
}

/** The payload, from the first file that opens. */
async function openAny({ store, set, credentials, signal }: RewrapOptions): Promise<Uint8Array> {
  let problem: ResurgoError | undefined;
  for (const file of set.wrapped) {
    const key = `${keysRoot}${set.id}/${file}`;
    try {
      return await decryptAge(await store.get(key, signal === undefined ? {} : { signal }), credentials, `${key} in ${store.name}`);
    } catch (error) {
      if (!isResurgoError(error) || error.definition.retryable) throw error;
      problem ??= error;
    }
  }
  throw problem ?? new ResurgoError('objectMissing', `no key file below ${keysRoot}${set.id}/ in ${store.name}`);
}
