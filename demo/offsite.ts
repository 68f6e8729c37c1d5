import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { s3Missing, startS3 } from '../test/support/index.ts';
import { partFiles } from './part-files.ts';
import type { Stage } from './stage.ts';
import { openUplink } from './uplink.ts';

/** The second repository: far away and slow. */
export interface Offsite {
  /** For people. */
  readonly what: string;
  /** Its entry in the configuration. */
  readonly yaml: string;
  /** Parts it holds. */
  stored(): number;
  /** From now on the line is as fast as this. */
  speedUp(bytesPerSecond: number): void;
  /** Remembers what is there now, for {@link receipts}. */
  mark(): void;
  /** How often each part was taken in whole, by name; counted where they arrive. */
  receipts(): ReadonlyMap<string, number>;
  /** How receipts were counted. */
  readonly countedBy: string;
}

/** An S3 server behind a slow line, or a second directory where there is no Python to run one. */
export async function openOffsite(stage: Stage, bytesPerSecond: number): Promise<Offsite> {
  return s3Missing() === undefined ? s3Offsite(stage, bytesPerSecond) : diskOffsite(stage, bytesPerSecond);
}

async function s3Offsite(stage: Stage, bytesPerSecond: number): Promise<Offsite> {
  const server = await startS3({ bucket: 'disaster-recovery' });
  stage.keepsLog('s3.log', server.logFile);
  const line = await openUplink(server.port, bytesPerSecond);
  stage.onStop(() => line.close());
  for (const [name, text] of [
    ['s3-key', server.accessKeyId],
    ['s3-secret', server.secretAccessKey],
  ] as const)
    writeFileSync(join(stage.dir, name), `${text}\n`, { mode: 0o600 });
  /** The server's own access log: one line per request it answered. */
  const receipts = (): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const [, key] of readFileSync(server.logFile, 'utf8').matchAll(
      /"PUT \/disaster-recovery\/(\S*?\/parts\/[^\s?]+)\S* HTTP\/1\.[01]" 200/g,
    )) {
      if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  };
  return {
    what: 'an S3 bucket behind a slow line',
    yaml: `{ type: s3, bucket: disaster-recovery, region: ${server.region}, endpoint: http://127.0.0.1:${String(line.port)}, forcePathStyle: true,
             accessKeyId: { file: ./s3-key }, secretAccessKey: { file: ./s3-secret } }`,
    stored: () => receipts().size,
    speedUp: (value) => {
      line.bytesPerSecond = value;
    },
    mark: () => undefined,
    receipts,
    countedBy: "the S3 server's access log",
  };
}

async function diskOffsite(stage: Stage, bytesPerSecond: number): Promise<Offsite> {
  const path = join(stage.dir, 'offsite');
  let marked = new Map<string, number>();
  const times = (): Map<string, number> => new Map(partFiles(path).map((file) => [file, statSync(file).ctimeMs]));
  return {
    what: 'another one with a rate limit, in place of S3, whose server needs Python 3 with pip',
    yaml: `{ type: disk, path: ./offsite, maxRate: ${String(Math.round(bytesPerSecond / 1024))}KiB }`,
    stored: () => partFiles(path).length,
    speedUp: () => undefined,
    mark: () => {
      marked = times();
    },
    receipts: () => new Map([...times()].map(([file, time]) => [file, (marked.get(file) ?? time) === time ? 1 : 2])),
    countedBy: 'the times of its files: none that was there was written again',
  };
}
