import { mkdirSync, openSync, closeSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { PostgresServer } from '../test/support/index.ts';
import { DemoError, ended, start } from './children.ts';
import type { Stage } from './stage.ts';

/** The same work by the tools everybody has. */
export interface Peer {
  readonly ms: number;
  /** Of the file. */
  readonly bytes: number;
}

const target = (server: PostgresServer, database: string): string[] => [
  ...['-h', '127.0.0.1', '-p', String(server.port), '-U', 'postgres', '-d', database],
];

/** `pg_dump shop | gzip > shop.sql.gz` */
export async function dumpWithGzip(stage: Stage, server: PostgresServer): Promise<Peer> {
  stage.screen.command('pg_dump shop | gzip > shop.sql.gz', 'the usual way, for comparison');
  const file = fileOf(stage);
  const out = openSync(file, 'w', 0o600);
  try {
    const ms = await pipe(
      stage,
      [join(server.pgBin, 'pg_dump'), ...target(server, 'shop')],
      ['gzip'],
      'pg_dump | gzip',
      out,
    );
    return { ms, bytes: statSync(file).size };
  } finally {
    closeSync(out);
  }
}

/** `gunzip -c shop.sql.gz | psql shop_plain`, into a database of its own that is dropped again. */
export async function restoreWithGunzip(stage: Stage, server: PostgresServer): Promise<Peer> {
  stage.screen.command('gunzip -c shop.sql.gz | psql shop_plain', 'the usual way, for comparison');
  await server.sql('postgres', 'create database shop_plain');
  const file = fileOf(stage);
  const ms = await pipe(
    stage,
    ['gunzip', '-c', file],
    [
      join(server.pgBin, 'psql'),
      '-X',
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
      '-o',
      '/dev/null',
      ...target(server, 'shop_plain'),
    ],
    'gunzip | psql',
    'ignore',
  );
  await server.sql('postgres', 'drop database shop_plain');
  return { ms, bytes: statSync(file).size };
}

function fileOf(stage: Stage): string {
  const dir = join(stage.dir, 'plain');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return join(dir, 'shop.sql.gz');
}

/** Two programs, the output of one being the input of the other without passing through us. Milliseconds. */
async function pipe(
  stage: Stage,
  first: readonly string[],
  second: readonly string[],
  name: string,
  out: number | 'ignore',
): Promise<number> {
  const began = performance.now();
  return stage.screen.busy(
    () => name,
    async () => {
      const from = start(first[0] as string, first.slice(1), stage.running, ['ignore', 'pipe', 'inherit']);
      const to = start(second[0] as string, second.slice(1), stage.running, [from.stdout, out, 'inherit']);
      // Our own ends would keep the pipe open.
      from.stdout?.destroy();
      const codes = await Promise.all([ended(from, name, stage.signal), ended(to, name, stage.signal)]);
      if (codes.some((code) => code !== 0)) throw new DemoError(`${name} ended with ${codes.join(' and ')}`);
      return performance.now() - began;
    },
  );
}
