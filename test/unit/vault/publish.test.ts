import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../providers/repository/memory-store.ts';
import { generateHostKey } from '../../../providers/vault/host-key.ts';
import type { HostKey } from '../../../providers/vault/host-key.ts';
import {
  canonicalJson,
  formatManifest,
  openIndex,
  parseManifest,
  parseSha256Sums,
  sealIndex,
  sha256Hex,
  sha256Sums,
  signManifest,
} from '../../../providers/vault/publish.ts';
import { sealTestBackup, testBytes } from './sealed-backup.ts';
import type { SealedTestBackup } from './sealed-backup.ts';

let hostKey: HostKey;
let sealed: SealedTestBackup;
beforeAll(async () => {
  hostKey = await generateHostKey();
  sealed = await sealTestBackup(new MemoryStore(), [{ name: 'b', kind: 'blob', bytes: testBytes(100) }], { hostKey });
});

describe('B9 canonical JSON', () => {
  test('sorts keys, leaves white space and undefined out', () => {
    expect(canonicalJson({ b: [1, { z: null, a: 'ü"' }], a: undefined, A: 1.5 })).toBe(
      '{"A":1.5,"b":[1,{"a":"ü\\"","z":null}]}',
    );
  });
  test('is the same for the same value in any order, and parses back to it', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const shuffled = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(shuffled)).toBe(canonicalJson(value));
        expect(canonicalJson(JSON.parse(canonicalJson(value)))).toBe(canonicalJson(value));
      }),
    );
  });
  test.each([NaN, Infinity, 1n, () => 1])('refuses what JSON cannot say', (value) => {
    expect(() => canonicalJson({ value })).toThrow(TypeError);
  });
});

describe('B10 manifest', () => {
  test('parses what was signed; fields of later versions are kept and signed', () => {
    const extended = signManifest({ ...sealed.manifest, futureField: { x: [1] } } as typeof sealed.manifest, hostKey);
    const bytes = formatManifest(extended);
    const parsed = parseManifest(bytes, { trusted: ['other', hostKey.publicKey], ref: sealed.ref });
    expect(parsed).toEqual(extended);
    expect(() => parseManifest(Buffer.from(bytes.toString().replace('"x"', '"y"')))).toThrow(/altered/);
  });

  test('every byte that changes its meaning is noticed', () => {
    const text = sealed.manifestBytes.toString();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: text.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const altered = Buffer.from(sealed.manifestBytes);
        altered[at] = (altered[at] ?? 0) ^ change;
        let same = false;
        try {
          same = canonicalJson(JSON.parse(altered.toString())) === canonicalJson(JSON.parse(text));
        } catch {
          // no JSON any more
        }
        if (!same)
          expect(() => parseManifest(altered, { ref: sealed.ref })).toThrow(
            expect.objectContaining({ name: 'ResurgoError' }) as Error,
          );
      }),
      { numRuns: 300 },
    );
  });

  test.each<[string, (text: string) => string, string]>([
    ['empty', () => '', 'manifestInvalid'],
    ['cut off', (text) => text.slice(0, -20), 'manifestInvalid'],
    ['a list', () => '[]', 'manifestInvalid'],
    ['of a newer format', (text) => text.replace('"format": 1', '"format": 2'), 'repositoryFormat'],
    [
      'without a signature',
      (text) => JSON.stringify({ ...(JSON.parse(text) as object), signature: undefined }),
      'manifestInvalid',
    ],
    ['with a target that is a path', (text) => text.replace('"target": "shop"', '"target": "../x"'), 'manifestInvalid'],
    [
      'with a malformed public key',
      (text) => text.replace(/"publicKey": "[^"]+"/, '"publicKey": "AAAA"'),
      'manifestInvalid',
    ],
  ])('refuses one that is %s', (_, edit, code) => {
    expect(() => parseManifest(Buffer.from(edit(sealed.manifestBytes.toString())))).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });

  test("a name that does not fit its fields, a ref that was not asked for, a stranger's signature", () => {
    expect(() =>
      parseManifest(formatManifest(signManifest({ ...sealed.manifest, kind: 'incremental' }, hostKey))),
    ).toThrow(/does not fit/);
    for (const change of [{ id: 'zzz' }, { target: 'x' }, { systemId: '1' }, { name: 'n' }] as const)
      expect(() => parseManifest(sealed.manifestBytes, { ref: { ...sealed.ref, ...change } })).toThrow(
        expect.objectContaining({ code: 'manifestInvalid' }) as Error,
      );
    expect(() => parseManifest(sealed.manifestBytes, { trusted: ['AAAA'] })).toThrow(
      expect.objectContaining({ code: 'manifestSignature' }) as Error,
    );
  });
});

describe('B10 checksums and index', () => {
  test('SHA256SUMS reads back', () => {
    const parts = [
      { n: 1, sha256: 'a'.repeat(64) },
      { n: 1_000_000, sha256: 'b'.repeat(64) },
    ];
    const bytes = sha256Sums('att-1', parts, 'c'.repeat(64));
    expect(bytes.toString()).toBe(
      `${'a'.repeat(64)}  parts/att-1-000001\n${'b'.repeat(64)}  parts/att-1-1000000\n${'c'.repeat(64)}  index\n`,
    );
    expect(parseSha256Sums(bytes).map((entry) => entry.path)).toEqual([
      'parts/att-1-000001',
      'parts/att-1-1000000',
      'index',
    ]);
    for (const bad of [
      'x',
      `${'a'.repeat(64)}  ../x\n`,
      `${'A'.repeat(64)}  index\n`,
      bytes.toString() + bytes.toString(),
      bytes.toString().slice(0, -1),
    ])
      expect(() => parseSha256Sums(Buffer.from(bad))).toThrow(
        expect.objectContaining({ code: 'manifestInvalid' }) as Error,
      );
  });

  test('the index opens with its own key, backup and attempt only', () => {
    const { index, keys } = sealed;
    const bytes = sealIndex(index, keys);
    expect(openIndex(bytes, keys.metadataKey, index.backup, index.attempt)).toEqual(index);
    for (const [given, key, backup, attempt] of [
      [bytes, keys.dataKey, index.backup, index.attempt],
      [bytes, keys.metadataKey, 'other', index.attempt],
      [bytes, keys.metadataKey, index.backup, 'a2'],
      [bytes.slice(0, -1), keys.metadataKey, index.backup, index.attempt],
      [new Uint8Array(3), keys.metadataKey, index.backup, index.attempt],
    ] as const)
      expect(() => openIndex(given, key, backup, attempt)).toThrow(
        expect.objectContaining({ code: 'partCorrupt' }) as Error,
      );
    expect(sha256Hex(sealIndex(index, keys))).toBe(sha256Hex(bytes));
  });

  test('an index whose parts leave a gap is refused', () => {
    const { index, keys } = sealed;
    for (const parts of [[], index.parts.map((part) => ({ ...part, offset: 1 })), [...index.parts, ...index.parts]])
      expect(() =>
        openIndex(sealIndex({ ...index, parts }, keys), keys.metadataKey, index.backup, index.attempt),
      ).toThrow(expect.objectContaining({ code: 'partCorrupt' }) as Error);
  });
});
