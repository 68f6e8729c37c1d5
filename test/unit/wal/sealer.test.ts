import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { beforeAll, describe, expect, test } from 'vitest';
import { ResurgoError } from '../../../domain/errors.ts';
import type { AgeAudience } from '../../../providers/vault/age-file.ts';
import { generateHostKey } from '../../../providers/vault/host-key.ts';
import { roomFor, WalSealer } from '../../../providers/wal/sealer.ts';

const place = { target: 'shop', systemId: '7', lineage: 'l', timeline: 1, kind: 'wal', start: '0000000000000000', end: '0000000000000010' } as const;
let alice = '';
let bob = '';

beforeAll(async () => {
  alice = await identityToRecipient(await generateX25519Identity());
  bob = await identityToRecipient(await generateX25519Identity());
});

async function sealerFor(audience: () => Promise<AgeAudience>): Promise<{ seal: () => Promise<string | undefined>; told: (readonly string[])[] }> {
  const told: (readonly string[])[] = [];
  const sealer = new WalSealer({ hostKey: await generateHostKey(), audience, onNewAudience: ({ recipients = [] }) => told.push(recipients), compression: 'none', level: 1 });
  return { told, seal: async () => (await sealer.seal(place, Buffer.allocUnsafeSlow(roomFor(16)).buffer, 16)).key };
}

describe('data keys of the WAL archive', () => {
  test('one key goes on while the same people can open it, in whatever order they stand', async () => {
    let recipients = [alice, bob];
    const { seal, told } = await sealerFor(() => Promise.resolve({ recipients }));
    const first = await Promise.all([seal(), seal(), seal()]);
    recipients = [bob, alice];
    expect(new Set([...first, await seal()]).size).toBe(1);
    expect(told).toEqual([]);
  });

  test('when the recipients change, the next object is under a new key, once, and that is said', async () => {
    let recipients = [alice];
    const { seal, told } = await sealerFor(() => Promise.resolve({ recipients }));
    const before = await seal();
    recipients = [bob];
    const after = await Promise.all([seal(), seal(), seal()]);
    expect(new Set(after).size).toBe(1);
    expect(after[0]).not.toBe(before);
    expect(told).toEqual([[bob]]);
    expect(await seal()).toBe(after[0]);
  });

  test('where it cannot be told who can open it, the archive goes on under the key it has; without one it stops', async () => {
    let broken = false;
    const { seal } = await sealerFor(() => (broken ? Promise.reject(new ResurgoError('configInvalid', 'half written')) : Promise.resolve({ recipients: [alice] })));
    const before = await seal();
    broken = true;
    expect(await seal()).toBe(before);
    const closed = await sealerFor(() => Promise.reject(new ResurgoError('keyMissing', 'none')));
    await expect(closed.seal()).rejects.toMatchObject({ code: 'keyMissing' });
  });
});
