import { expect, test } from 'vitest';
import { ParentKeys } from '../../../activities/parent-keys.ts';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { cannotOpen, wrappedFor } from '../../../providers/vault/wrapped-for.ts';

const put = async (store: MemoryStore, name: string, body = 'age'): Promise<void> => store.put(`keys/${name}`, Buffer.from(body));
const note = (...recipients: string[]): string => JSON.stringify({ recipients });
const madeFor = (...recipients: string[]) => (): Promise<readonly string[]> => Promise.resolve(recipients);

test('the first file is for whom the manifest says; a later one for whom its note says; the host key opens no content', async () => {
  const store = new MemoryStore();
  await put(store, 'a/1.age');
  await put(store, 'a/host.age');
  const first = await wrappedFor(store, 'a', madeFor('alice'));
  expect(cannotOpen(first, { recipients: ['alice'] })).toBeUndefined();
  expect(cannotOpen(first, { recipients: ['alice', 'bob'] })).toBe('they are not wrapped for bob');
  expect(cannotOpen(first, { passphrase: 'six words' })).toContain('not for the passphrase');
  await put(store, 'a/2.age');
  await put(store, 'a/2.recipients', note('bob'));
  // Kept by a retention lock, or not removed yet: who could open it still can.
  expect(cannotOpen(await wrappedFor(store, 'a', madeFor('alice')), { recipients: ['alice', 'bob'] })).toBeUndefined();
  expect(cannotOpen(await wrappedFor(store, 'none', madeFor('alice')), { recipients: ['alice'] })).toBe('there are none');
});

test('a file without a note is taken for nobody whose name is known, and may be for a passphrase', async () => {
  const store = new MemoryStore();
  await put(store, 'a/2.age');
  const keys = await wrappedFor(store, 'a', madeFor('alice'));
  expect(cannotOpen(keys, { recipients: ['alice'] })).toBe('they are not wrapped for alice');
  expect(cannotOpen(keys, { passphrase: 'six words' })).toBeUndefined();
  await put(store, 'b/2.age');
  await put(store, 'b/2.recipients', 'cut o');
  expect(cannotOpen(await wrappedFor(store, 'b', madeFor()), { recipients: ['alice'] })).toBe('they are not wrapped for alice');
});

test('one closed link in one repository closes the chain; a repository that holds none of it does not count', async () => {
  const [local, copy, empty] = [new MemoryStore(), new MemoryStore(), new MemoryStore()];
  for (const store of [local, copy]) for (const id of ['full', 'inc']) await put(store, `${id}/1.age`);
  const keys = (recipients: string[]): ParentKeys => new ParentKeys({ stores: [local, copy, empty], audience: { recipients }, original: madeFor('alice') });
  expect(await keys(['alice']).refusal(['full', 'inc'])).toBeUndefined();
  await put(local, 'full/2.age');
  await put(local, 'full/2.recipients', note('alice', 'bob'));
  expect(await keys(['alice', 'bob']).refusal(['full'])).toMatch(/^the keys of full in .*: they are not wrapped for bob/);
  await put(copy, 'full/2.age');
  await put(copy, 'full/2.recipients', note('alice', 'bob'));
  expect(await keys(['alice', 'bob']).refusal(['full'])).toBeUndefined();
  expect(await keys(['alice', 'bob']).refusal(['full', 'inc'])).toContain('the keys of inc');
});
