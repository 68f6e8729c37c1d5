import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseBackupManifest } from '../../providers/postgres/backup-manifest.ts';
import { baseBackupCommand } from '../../providers/postgres/base-backup-command.ts';
import { resolveConnection } from '../../providers/postgres/connection.ts';
import { crc32c, crc32cCombine, crc32cHex } from '../../providers/vault/crc32c.ts';
import { mapIncrementalError } from '../../providers/postgres/incremental-errors.ts';
import { compareLsn } from '../../providers/postgres/lsn.ts';
import { MessageFramer } from '../../providers/postgres/message-framer.ts';
import { pageChecksum } from '../../providers/postgres/page-checksum.ts';
import { mapPostgresError } from '../../providers/postgres/postgres-error.ts';
import { quoteIdent, quoteLiteral } from '../../providers/postgres/quote.ts';
import { verifyDirectory } from '../../providers/postgres/verify-directory.ts';
import { clearVisibilityMaps, emptyVisibilityPage } from '../../providers/postgres/visibility-maps.ts';
import { stopAll, tempDir } from '../support/index.ts';

afterEach(stopAll);

describe('CRC-32C', () => {
  test('B10 known values, any alignment, any split, combined', () => {
    expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283');
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(0))).toBe(0);
    expect(crc32cHex(0xe3069283)).toBe('839206e3');
    const bytewise = (bytes: Uint8Array): number => bytes.reduce((crc, byte) => crc32c(Uint8Array.of(byte), crc), 0);
    for (const size of [1, 7, 8, 9, 4095, 8192, 8193, 30_001]) {
      const backing = randomBytes(size + 8);
      for (const offset of [0, 1, 3, 4]) {
        const bytes = backing.subarray(offset, offset + size);
        const expected = bytewise(bytes);
        expect(crc32c(bytes)).toBe(expected);
        const cut = Math.floor(size / 3);
        expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(expected);
        expect(crc32cCombine(crc32c(bytes.subarray(0, cut)), crc32c(bytes.subarray(cut)), size - cut)).toBe(expected);
      }
    }
  });
});

describe('message framing', () => {
  const message = (type: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(5);
    head.write(type);
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };

  test('B2 whatever way the bytes are cut, messages come out whole and data in order', async () => {
    const bodies = [randomBytes(1), randomBytes(70_000), Buffer.alloc(0), randomBytes(5)];
    const input = Buffer.concat([
      message('H', Buffer.from([0, 0, 0])),
      ...bodies.map((body) => message('d', body)),
      message('C', Buffer.from('x\0')),
      message('Z', Buffer.from('I')),
    ]);
    for (const step of [1, 2, 3, 4, 5, 6, 1000, 65_536, input.length]) {
      for (const slow of [false, true]) {
        if (slow && step < 1000) continue;
        const data: Buffer[] = [];
        const seen: string[] = [];
        let starts = 0;
        const framer = new MessageFramer({
          copyData: (piece, first, last) => {
            starts += Number(first);
            data.push(Buffer.from(piece));
            if (last) seen.push('d');
            return slow ? new Promise((resolve) => setImmediate(resolve)) : undefined;
          },
          message: (type, body) => void seen.push(`${type}${body.length}`),
        });
        // One buffer, used again and again, as the socket does.
        const reused = Buffer.alloc(step);
        for (let at = 0; at < input.length; at += step) {
          const length = input.copy(reused, 0, at, at + step);
          await framer.push(reused.subarray(0, length));
        }
        expect(seen).toEqual(['H3', 'd', 'd', 'd', 'C2', 'Z1']);
        expect(starts).toBe(3);
        expect(Buffer.concat(data).equals(Buffer.concat(bodies))).toBe(true);
      }
    }
  });

  test('B2 nonsense is refused', () => {
    const framer = new MessageFramer({ copyData: () => undefined, message: () => undefined });
    expect(() => framer.push(Buffer.from([0x45, 0x7f, 0xff, 0xff, 0xff]))).toThrow(
      expect.objectContaining({ code: 'dumpFailed' }),
    );
    const negative = new MessageFramer({ copyData: () => undefined, message: () => undefined });
    expect(() => negative.push(Buffer.from([0x64, 0, 0, 0, 3]))).toThrow(
      expect.objectContaining({ code: 'dumpFailed' }),
    );
  });
});

describe('connections', () => {
  beforeEach(() => vi.stubEnv('PGPASSWORD', ''));
  afterEach(() => vi.unstubAllEnvs());

  test('R3 tools get the PGPASSWORD that the driver takes, unless the connection has its own', () => {
    vi.stubEnv('PGPASSWORD', 'inherited');
    expect(resolveConnection('postgres://u@h/d').toolEnv()['PGPASSWORD']).toBe('inherited');
    expect(resolveConnection('postgres://u:own@h/d').toolEnv()['PGPASSWORD']).toBe('own');
  });

  test('O4 URLs as people write them', () => {
    const of = (url: string) => {
      const { host, port, user, database } = resolveConnection(url);
      return [user, resolveConnection(url).toolEnv()['PGPASSWORD'], host, port, database];
    };
    expect(of('postgres://me:p@ss/w?rd#1@db.example.test:5433/shop')).toEqual([
      'me',
      'p@ss/w?rd#1',
      'db.example.test',
      5433,
      'shop',
    ]);
    expect(of('postgresql://me:%20%25@[fe80::1]:1/a%2Fb?sslmode=require')).toEqual(['me', ' %', 'fe80::1', 1, 'a/b']);
    expect(of('postgres://me@%2Frun%2Fpostgresql/shop')).toEqual(['me', undefined, '/run/postgresql', 5432, 'shop']);
    expect(of('postgres:///shop?host=/tmp/x&port=6000&user=me')).toEqual(['me', undefined, '/tmp/x', 6000, 'shop']);
    expect(of('postgres://h/db?user=a@b')).toEqual(['a@b', undefined, 'h', 5432, 'db']);
    expect(of('postgres://me@h')).toEqual(['me', undefined, 'h', 5432, 'me']);
    for (const bad of [
      'mysql://x',
      'postgres://a,b/db',
      'postgres://h:99999/db',
      'postgres://h/db?sslmod=require',
      'postgres://h/db?sslmode=maybe',
      'postgres://%zz@h/db',
    ]) {
      expect(() => resolveConnection(bad)).toThrow(expect.objectContaining({ code: 'configInvalid' }));
    }
  });

  test('O4 no secret in what is shown; TLS as libpq does it', () => {
    const connection = resolveConnection('postgres://me:secret@db.example.test/shop?sslmode=verify-full');
    expect(connection.redacted).toBe('me@db.example.test:5432/shop');
    expect(JSON.stringify(connection)).not.toContain('secret');
    expect(connection.clientConfig()).toMatchObject({
      ssl: { rejectUnauthorized: true, servername: 'db.example.test' },
    });
    expect(resolveConnection('postgres://me@db.example.test/shop?sslmode=require').clientConfig().ssl).toMatchObject({
      rejectUnauthorized: false,
    });
    // Local servers in plain text first, others with TLS first.
    expect(resolveConnection('postgres://me@127.0.0.1/shop')).toMatchObject({ sslmode: 'allow' });
    expect(resolveConnection('postgres://me@127.0.0.1/shop').clientConfig().ssl).toBe(false);
    expect(resolveConnection('postgres://me@db.example.test/shop')).toMatchObject({ sslmode: 'prefer' });
    expect(() =>
      resolveConnection('postgres://me@h/d?sslrootcert=/no/such/file&sslmode=verify-ca').clientConfig(),
    ).toThrow(expect.objectContaining({ code: 'configInvalid' }));
  });

  test('S1 what is ours is stronger than the options of the URL, for the driver as for tools; a bare session has only those', () => {
    const connection = resolveConnection('postgres://me@h/d?options=-c%20search_path%3Dpublic%20-c%20work_mem%3D9MB');
    const pinned = /^-c search_path=public -c work_mem=9MB -c .* -c search_path=pg_catalog,pg_temp -c DateStyle=ISO,YMD$/;
    expect(connection.clientConfig().options).toMatch(pinned);
    expect(connection.toolEnv()['PGOPTIONS']).toMatch(pinned);
    expect(connection.clientConfig('d', { theirs: true }).options).not.toContain('pg_catalog');
    expect(connection.clientConfig('d', { bare: true }).options).toBe('-c search_path=public -c work_mem=9MB');
  });

  test('O4 errors of servers and sockets get their code and name the server', () => {
    const connection = resolveConnection('postgres://me@h/d');
    const code = (raw: object) => mapPostgresError(Object.assign(new Error('words'), raw), 'testing', connection).code;
    expect(code({ code: 'ECONNREFUSED' })).toBe('sourceUnreachable');
    expect(code({ code: '57P03' })).toBe('sourceUnreachable');
    expect(code({ code: '53300' })).toBe('sourceUnreachable');
    // A pooler's word: waiting does not help.
    expect(code({ code: '08P01', message: 'unsupported startup parameter: options' })).toBe('sourceDenied');
    expect(code({ code: '28P01' })).toBe('sourceDenied');
    expect(code({ code: '42501' })).toBe('sourceDenied');
    expect(code({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })).toBe('sourceDenied');
    expect(code({ code: '53100' })).toBe('destinationSpace');
    expect(code({ code: 'XX000' })).toBe('dumpFailed');
    expect(
      mapPostgresError(new AggregateError([new Error('connect ECONNREFUSED ::1:5432')], ''), 'x', connection).message,
    ).toContain('ECONNREFUSED ::1:5432');
    expect(mapPostgresError(new Error('words'), 'testing', connection).message).toBe(
      'Failed while testing (me@h:5432/d): words.',
    );
  });

  test('B2 refusals of incrementals by the words of 17 and 18, and in another language by their class', () => {
    const connection = resolveConnection('postgres://me@h/d');
    const code = (message: string) =>
      mapIncrementalError(Object.assign(new Error(message), { code: '55000' }), connection).code;
    expect(code('system identifier in backup manifest is 1, but database system identifier is 2')).toBe(
      'sourceChanged',
    );
    expect(code("timeline 3 found in manifest, but not in this server's history")).toBe('sourceChanged');
    expect(
      code('manifest requires WAL from final timeline 1 ending at 0/3000120, but this backup starts at 0/3000028'),
    ).toBe('noParent');
    expect(
      code(
        'WAL summaries are required on timeline 1 from 0/1 to 0/2, but no summaries for that timeline and LSN range exist',
      ),
    ).toBe('walSummaryMissing');
    expect(code('incremental backups cannot be taken unless WAL summarization is enabled')).toBe('walSummaryMissing');
    expect(code('irgendetwas anderes')).toBe('walSummaryMissing');
  });

  test('B2 identifiers, literals and labels cannot break out', () => {
    expect(quoteIdent('a"b')).toBe('"a""b"');
    expect(quoteLiteral("it's \\")).toBe("E'it''s \\\\'");
    expect(() => quoteIdent('a\0b')).toThrow(RangeError);
    const command = baseBackupCommand({
      label: "x', CHECKPOINT 'spread\\\n",
      checkpoint: 'fast',
      incremental: true,
      maxRateKiB: 1,
    });
    expect(command).toContain("LABEL 'x_, CHECKPOINT _spread__'");
    expect(command).toContain('MAX_RATE 32');
    expect(command).toContain('INCREMENTAL true');
    expect(compareLsn('1/0', '0/FFFFFFFF')).toBe(1);
    expect(compareLsn('0/A', '0/a')).toBe(0);
  });
});

const manifestOf = (files: object[], extra = ''): Buffer => {
  const body = `{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": 7710554409514859427,\n"Files": [\n${files.map((file) => JSON.stringify(file)).join(',\n')}\n],\n"WAL-Ranges": [\n{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000120" }\n],\n${extra}`;
  return Buffer.from(`${body}"Manifest-Checksum": "${createHash('sha256').update(body).digest('hex')}"}\n`);
};
const entry = (path: string, content: Buffer, algorithm = 'CRC32C') => ({
  Path: path,
  Size: content.length,
  'Last-Modified': '2026-11-21 00:00:00 GMT',
  'Checksum-Algorithm': algorithm,
  Checksum:
    algorithm === 'CRC32C'
      ? crc32cHex(crc32c(content))
      : createHash(algorithm.toLowerCase()).update(content).digest('hex'),
});

describe('backup_manifest', () => {
  test('B10 is read with all digits of the system identifier, and names that are not UTF-8', () => {
    const manifest = parseBackupManifest(
      manifestOf([
        entry('PG_VERSION', Buffer.from('18\n')),
        { ...entry('', Buffer.alloc(1)), Path: undefined, 'Encoded-Path': Buffer.from([0x61, 0xff]).toString('hex') },
      ]),
    );
    expect(manifest.systemId).toBe('7710554409514859427');
    expect([...manifest.files.keys()]).toEqual(['PG_VERSION', 'a\udcff']);
    expect(manifest.walRanges).toEqual([{ timeline: 1, startLsn: '0/2000028', endLsn: '0/2000120' }]);
  });

  test('B10 hostile or broken ones are refused', () => {
    const code = (bytes: Buffer) => {
      try {
        parseBackupManifest(bytes);
      } catch (error) {
        return (error as { code?: string }).code;
      }
      return undefined;
    };
    const one = entry('a', Buffer.alloc(1));
    expect(code(manifestOf([one, one]))).toBe('contentMismatch');
    expect(code(manifestOf([{ ...one, Path: '../../etc/passwd' }]))).toBe('unsafePath');
    expect(code(manifestOf([{ ...one, Path: '/etc/passwd' }]))).toBe('unsafePath');
    expect(code(manifestOf([{ ...one, Size: -1 }]))).toBe('contentMismatch');
    expect(code(manifestOf([{ ...one, 'Checksum-Algorithm': 'MD5' }]))).toBe('contentMismatch');
    expect(code(manifestOf([one]).subarray(0, -2))).toBe('contentMismatch');
    expect(code(Buffer.alloc(0))).toBe('contentMismatch');
    expect(code(manifestOf([one], 'x'))).toBe('contentMismatch');
  });
});

describe('verifyDirectory', () => {
  const content = {
    PG_VERSION: Buffer.from('18\n'),
    'base/1/16384': randomBytes(200_000),
    'base/1/16385': Buffer.alloc(0),
    'global/pg_control': randomBytes(8192),
  };
  const write = (dir: string): void => {
    for (const [path, bytes] of Object.entries(content)) {
      mkdirSync(join(dir, path, '..'), { recursive: true });
      writeFileSync(join(dir, path), bytes);
    }
    mkdirSync(join(dir, 'pg_wal'));
    writeFileSync(join(dir, 'pg_wal/000000010000000000000001'), 'wal');
  };
  const table = randomBytes(5000);
  const manifest = (algorithm: string) =>
    parseBackupManifest(
      manifestOf([
        ...Object.entries(content).map(([path, bytes]) => entry(path, bytes, algorithm)),
        entry('pg_tblspc/16400/PG_18_1/5/16390', table, algorithm),
      ]),
    );

  test('R5 checksums taken while writing stand in for reading again; sizes are still those on disk', async () => {
    const dir = tempDir('verify').path;
    write(dir);
    const listed = parseBackupManifest(
      manifestOf(Object.entries(content).map(([path, bytes]) => entry(path, bytes, 'CRC32C'))),
    );
    const written = new Map(Object.entries(content).map(([path, bytes]) => [path, crc32c(bytes)]));
    await expect(verifyDirectory(dir, listed, { written })).resolves.toBe(4);
    written.set('global/pg_control', 1);
    await expect(verifyDirectory(dir, listed, { written })).rejects.toMatchObject({
      code: 'restoreMismatch',
      message: expect.stringMatching(/global\/pg_control has CRC32C 01000000/),
    });
    written.set('global/pg_control', crc32c(content['global/pg_control']));
    writeFileSync(join(dir, 'base/1/16384'), 'short');
    await expect(verifyDirectory(dir, listed, { written })).rejects.toThrow(/16384 has 5 bytes/);
  });

  test('B10 R5 finds a flipped bit, a missing, a longer and an extra file, in tablespaces too', async () => {
    for (const algorithm of ['CRC32C', 'SHA256']) {
      const dir = join(tempDir('verify').path, 'data');
      const space = join(dir, '../space');
      write(dir);
      mkdirSync(join(space, 'PG_18_1/5'), { recursive: true });
      writeFileSync(join(space, 'PG_18_1/5/16390'), table);
      mkdirSync(join(dir, 'pg_tblspc'));
      symlinkSync(space, join(dir, 'pg_tblspc/16400'));
      const options = { tablespaces: new Map([['16400', space]]), sync: true };
      const check = () => verifyDirectory(dir, manifest(algorithm), options);
      await expect(check()).resolves.toBe(5);
      const breaks: [string, () => void, RegExp][] = [
        [
          'base/1/16384',
          () => {
            const bytes = Buffer.from(content['base/1/16384']);
            bytes[100_000] = (bytes[100_000] as number) ^ 4;
            writeFileSync(join(dir, 'base/1/16384'), bytes);
          },
          /16384 has (CRC32C|SHA256)/,
        ],
        ['base/1/16385', () => rmSync(join(dir, 'base/1/16385')), /16385 is missing/],
        ['base/1/16385', () => writeFileSync(join(dir, 'base/1/16385'), 'x'), /16385 has 1 bytes/],
        ['base/1/extra', () => writeFileSync(join(dir, 'base/1/extra'), 'x'), /extra is not in the manifest/],
        [
          '../space/PG_18_1/5/16390',
          () => writeFileSync(join(space, 'PG_18_1/5/16390'), randomBytes(5000)),
          /pg_tblspc\/16400\/PG_18_1\/5\/16390 has/,
        ],
      ];
      for (const [path, damage, words] of breaks) {
        damage();
        await expect(check()).rejects.toMatchObject({ code: 'restoreMismatch', message: expect.stringMatching(words) });
        const original = path.startsWith('..') ? table : (content as Record<string, Buffer>)[path];
        if (original) writeFileSync(join(dir, path), original);
        else rmSync(join(dir, path));
      }
      await expect(check()).resolves.toBe(5);
      const aborted = AbortSignal.abort();
      await expect(verifyDirectory(dir, manifest(algorithm), { ...options, signal: aborted })).rejects.toMatchObject({
        code: 'cancelled',
      });
    }
  });
});

describe('visibility maps', () => {
  test('right: every map of every database and tablespace becomes empty pages of the same number, with their checksums, and nothing else is touched', async () => {
    const root = tempDir('maps').path;
    const dir = join(root, 'data');
    const space = join(root, 'space');
    const maps = [
      'data/base/5/16384_vm',
      'data/base/5/16384_vm.1',
      'data/base/1/2619_vm',
      'data/global/1262_vm',
      'space/PG_18_1/5/16390_vm',
    ];
    const others = [
      'data/base/5/16384',
      'data/base/5/16384_fsm',
      'data/base/5/16384.1',
      'data/base/5/x_vm',
      'data/pg_wal/16384_vm',
    ];
    for (const path of [...maps, ...others]) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), Buffer.alloc(3 * 8192 + (path.endsWith('2619_vm') ? 100 : 0), 0xff));
    }
    writeFileSync(join(dir, 'base/5/16399_vm'), '');
    await expect(
      clearVisibilityMaps(dir, { blockSize: 8192, dataChecksums: true, tablespaces: [space] }),
    ).resolves.toBe(maps.length + 1);
    for (const path of maps) {
      const bytes = readFileSync(join(root, path));
      expect(bytes.length).toBe(3 * 8192);
      const first = path.endsWith('.1') ? 131_072 : 0;
      for (let i = 0; i < 3; i++) {
        const page = bytes.subarray(i * 8192, (i + 1) * 8192);
        expect(page.readUInt16LE(8)).toBe(pageChecksum(page, first + i));
        const expected = emptyVisibilityPage(8192);
        page.copy(expected, 8, 8, 10);
        expect(page.equals(expected)).toBe(true);
      }
    }
    for (const path of others) expect(readFileSync(join(root, path)).every((byte) => byte === 0xff)).toBe(true);
    await clearVisibilityMaps(dir, { blockSize: 8192, dataChecksums: false, tablespaces: [space] });
    for (const path of maps)
      expect(readFileSync(join(root, path)).subarray(0, 8192).equals(emptyVisibilityPage(8192))).toBe(true);
  });
});
