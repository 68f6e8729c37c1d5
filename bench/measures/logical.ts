import { databaseName } from '../database.ts';
import type { Lab } from '../lab.ts';
import { dumpPeers } from '../peers/pg-dump.ts';
import { measureOf } from '../report.ts';
import { interleave, type Contestant } from '../rounds.ts';
import type { Measure } from '../types.ts';

const peerBars = { gzip: 0.45, zstd: 1.3 } as const;
const peers = Object.keys(dumpPeers) as (keyof typeof dumpPeers)[];

/** One database by pg_dump, against what people type today. */
export async function logicalBackup(lab: Lab, wanted: ReadonlySet<string>): Promise<Measure[]> {
  const server = await lab.shared();
  const tool = await lab.pgDump();
  const host = await lab.resurgo(server, 'shared');
  const kinds = [
    { name: 'logical-backup', target: 'logical-checksum', what: 'dump, seal, store; stored bytes read back' },
    { name: 'logical-backup-verified', target: 'logical', what: 'dump, seal, store; default read-back' },
  ].filter(({ name }) => wanted.has(name));
  const contestants: Contestant[] = [
    ...kinds.map(({ name, target }) => ({ name, run: () => host.backup({ target, kind: 'full' }) })),
    ...peers.map((peer) => ({ name: peer, run: () => tool.dump(peer) })),
  ];
  const samples = await interleave(lab.options.rounds, contestants, lab.note);
  return kinds.flatMap(({ name, what }) =>
    peers.map((peer) =>
      measureOf(
        { name, what, unit: 's', bar: peerBars[peer], peerName: dumpPeers[peer].name },
        samples.get(name) ?? [],
        samples.get(peer),
      ),
    ),
  );
}

/** Into a new database, with our check of the row counts. */
export async function logicalRestore(lab: Lab): Promise<Measure[]> {
  const server = await lab.shared();
  const tool = await lab.pgDump();
  const host = await lab.resurgo(server, 'shared');
  await host.backup({ target: 'logical', kind: 'full' });
  await tool.prepare();
  const drop = (name: string): Promise<unknown> =>
    server.sql('postgres', `drop database if exists ${name} with (force)`);
  const samples = await interleave(
    lab.options.rounds,
    [
      {
        name: 'ours',
        run: async () => {
          const sample = await host.restore({ target: 'logical', mode: 'beside', to: `${databaseName}_ours` });
          await drop(`${databaseName}_ours`);
          return sample;
        },
      },
      {
        name: 'peer',
        run: async () => {
          const sample = await tool.restore(`${databaseName}_peer`);
          await drop(`${databaseName}_peer`);
          return sample;
        },
      },
    ],
    lab.note,
  );
  return [
    measureOf(
      {
        name: 'logical-restore',
        what: 'into a new database, row counts checked',
        unit: 's',
        bar: null,
        peerName: 'pg_restore -j2 from -Fd',
      },
      samples.get('ours') ?? [],
      samples.get('peer'),
    ),
  ];
}
