import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  backupName,
  backupRef,
  hostKeyFile,
  keyFile,
  keysOf,
  parseBackupName,
  parsePartName,
  parseStateName,
  partName,
  runRecordKey,
  safeTarget,
} from '../../../providers/repository/layout.ts';
import { compareKeys, isSafeKey } from '../../../providers/repository/safe-key.ts';

const ref = { target: 'shop', systemId: '7123', name: '20261103T020000Z-full-abc' };
const hostile = ['', '.', '..', '../x', '/x', 'a/b', 'a\0', 'a\n', '-x', '.x', 'ä', ' x', 'x'.repeat(129)];

describe('B15 repository layout', () => {
  test('keys are those of the format', () => {
    const keys = keysOf(ref);
    expect(keys).toMatchObject({
      prefix: 'shop/7123/backups/20261103T020000Z-full-abc/',
      manifest: 'shop/7123/backups/20261103T020000Z-full-abc/manifest.json',
      sums: 'shop/7123/backups/20261103T020000Z-full-abc/SHA256SUMS',
      index: 'shop/7123/backups/20261103T020000Z-full-abc/index',
      partsPrefix: 'shop/7123/backups/20261103T020000Z-full-abc/parts/',
    });
    expect(keys.part('a-1', 7)).toBe('shop/7123/backups/20261103T020000Z-full-abc/parts/a-1-000007');
    expect(keys.state('verified')).toBe('shop/7123/state/20261103T020000Z-full-abc.verified');
    expect([keyFile('abc', 2), hostKeyFile('abc')]).toEqual(['keys/abc/2.age', 'keys/abc/host.age']);
    expect(runRecordKey('shop', '2026-11-03T02:00:00.123Z', 'r1')).toBe('runs/shop/20261103T020000Z-r1.json');
  });

  test('names survive there and back', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true }),
        fc.constantFrom('full', 'differential', 'incremental'),
        fc.stringMatching(/^[a-z0-9]{1,20}$/),
        (date, kind, id) => {
          const name = backupName({ startedAt: date.toISOString(), kind, id });
          expect(parseBackupName(name)).toEqual({ startedAt: `${date.toISOString().slice(0, 19)}Z`, kind, id });
          expect(backupName(parseBackupName(name) ?? { startedAt: '', kind, id })).toBe(name);
        },
      ),
    );
    fc.assert(
      fc.property(
        fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/),
        fc.integer({ min: 1, max: 99_999_999 }),
        (attempt, n) => {
          expect(parsePartName(partName(attempt, n))).toEqual({ attempt, n });
        },
      ),
    );
  });

  test('what is no name is none', () => {
    for (const name of [
      '',
      'x',
      '20261103T020000Z-full',
      '20261103T020000Z-huge-abc',
      '20261131T020000Z-full-abc',
      '20260231T020000Z-full-abc',
      '20261103T250000Z-full-abc',
      '20261103T020000Z-full-a/b',
      '../20261103T020000Z-full-abc',
      '20261103T020000Z-full-ABC',
      '20261103T020000Z-full-abc\n',
    ]) {
      expect(parseBackupName(name), JSON.stringify(name)).toBeUndefined();
    }
    for (const name of ['1', 'a-1', 'a-00001', '-000001', 'a-000001x', '../a-000001'])
      expect(parsePartName(name), name).toBeUndefined();
    for (const name of [
      'x.verified',
      '20261103T020000Z-full-abc',
      '20261103T020000Z-full-abc.',
      '20261103T020000Z-full-abc.Verified',
      '20261103T020000Z-full-abc.a/b',
    ])
      expect(parseStateName(name), name).toBeUndefined();
    expect(backupRef('keys', '1', ref.name)).toBeUndefined();
    expect(backupRef('shop', '..', ref.name)).toBeUndefined();
  });

  test('hostile names never become keys', () => {
    for (const name of hostile) {
      expect(() => keysOf({ ...ref, target: name }), JSON.stringify(name)).toThrow();
      expect(() => keysOf({ ...ref, systemId: name }), JSON.stringify(name)).toThrow();
      expect(() => keysOf({ ...ref, name }), JSON.stringify(name)).toThrow();
      expect(() => keysOf(ref).part(name, 1), JSON.stringify(name)).toThrow();
      expect(() => keysOf(ref).state(name), JSON.stringify(name)).toThrow();
      expect(() => keyFile(name, 1), JSON.stringify(name)).toThrow();
    }
    for (const n of [0, -1, 1.5, Number.NaN]) expect(() => keysOf(ref).part('a', n)).toThrow();
    for (const target of ['keys', 'runs', 'evidence']) expect(() => safeTarget(target)).toThrow();
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (key) => {
        if (isSafeKey(key))
          expect(key.startsWith('/') || key.split('/').some((s) => s === '' || s === '.' || s === '..')).toBe(false);
      }),
    );
  });

  test('keys are ordered by their UTF-8 bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (a, b) => {
        expect(Math.sign(compareKeys(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
      }),
    );
    expect(compareKeys('\uffee', '😀')).toBeLessThan(0);
  });
});
