import type { Lab } from '../lab.ts';
import { pgBackRestName } from '../peers/pgbackrest.ts';
import { measureOf } from '../report.ts';
import { interleave, type Contestant } from '../rounds.ts';
import type { Measure } from '../types.ts';

/** Full backups of a cluster against pgBackRest's, at every depth of reading back. */
export async function physicalFull(lab: Lab, wanted: ReadonlySet<string>): Promise<Measure[]> {
  const server = await lab.shared();
  const peer = await lab.pgBackRest();
  const host = await lab.resurgo(server, 'shared');
  const depths = [
    {
      depth: 'checksum',
      name: 'physical-full',
      target: 'physical-checksum',
      what: 'full, stored bytes read back',
      bar: 1,
    },
    {
      depth: 'authenticated',
      name: 'physical-full-verified',
      target: 'physical',
      what: 'full, default read-back: every part authenticated',
      bar: 1,
    },
    {
      depth: 'content',
      name: 'physical-full-verified',
      target: 'physical-content',
      what: 'full, read back down to the pages',
      bar: null,
    },
  ].filter(({ name }) => wanted.has(name));
  const contestants: Contestant[] = depths.map(({ depth, target }) => ({
    name: depth,
    run: () => host.backup({ target, kind: 'full' }),
  }));
  const { tool } = peer;
  if (tool !== undefined) contestants.push({ name: 'peer', run: () => tool.backup() });
  const samples = await interleave(lab.options.rounds, contestants, lab.note);
  return depths.map(({ depth, name, what, bar }) =>
    measureOf(
      { name, what, unit: 's', bar, peerName: pgBackRestName, reason: peer.reason },
      samples.get(depth) ?? [],
      samples.get('peer'),
    ),
  );
}

/** Restore of a full backup to a complete, synced data directory. */
export async function physicalRestore(lab: Lab): Promise<Measure[]> {
  const server = await lab.shared();
  const peer = await lab.pgBackRest();
  const host = await lab.resurgo(server, 'shared');
  await host.backup({ target: 'physical', kind: 'full' });
  const contestants: Contestant[] = [
    {
      name: 'ours',
      run: async () => {
        const directory = host.directory('restored');
        const sample = await host.restore({ target: 'physical', mode: 'beside', to: directory.path });
        await directory.stop();
        return sample;
      },
    },
  ];
  const { tool } = peer;
  if (tool !== undefined) {
    await tool.backup();
    contestants.push({
      name: 'peer',
      run: async () => {
        const directory = host.directory('restored');
        const sample = await tool.restore(directory.path);
        await directory.stop();
        return sample;
      },
    });
  }
  const samples = await interleave(lab.options.rounds, contestants, lab.note);
  return [
    measureOf(
      {
        name: 'physical-restore',
        what: 'restore of a full, synced and checked',
        unit: 's',
        bar: 1.1,
        peerName: pgBackRestName,
        reason: peer.reason,
      },
      samples.get('ours') ?? [],
      samples.get('peer'),
    ),
  ];
}
