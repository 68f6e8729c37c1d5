import { changeOnePercent } from '../database.ts';
import type { Lab } from '../lab.ts';
import { measureOf } from '../report.ts';
import { interleave } from '../rounds.ts';
import type { Measure, Sample } from '../types.ts';
import { runTool } from '../tool.ts';

/** PostgreSQL's own incrementals: after 1 % of change against a full of the same database in the same round. */
export async function physicalIncremental(lab: Lab): Promise<Measure[]> {
  const server = await lab.postgres18();
  const host = await lab.resurgo(server, 'newest');
  const ours: Sample[] = [];
  const peer: Sample[] = [];
  for (let round = 0; round < lab.options.rounds; round++) {
    await runTool('sync', []);
    peer.push(await host.backup({ target: 'physical', kind: 'full' }));
    await changeOnePercent(server, round);
    await runTool('sync', []);
    ours.push(await host.backup({ target: 'physical', kind: 'incremental' }));
    lab.note(
      `round ${String(round + 1)}: full ${peer.at(-1)?.value.toFixed(2) ?? ''}, incremental ${ours.at(-1)?.value.toFixed(2) ?? ''}`,
    );
  }
  return [
    measureOf(
      {
        name: 'physical-incremental',
        what: 'incremental after 1 % of change',
        unit: 's',
        bar: 0.25,
        peerName: 'own full backup',
      },
      ours,
      peer,
    ),
  ];
}

/** Restore of full + 3 incrementals against the restore of that full. */
export async function chainRestore(lab: Lab): Promise<Measure[]> {
  const server = await lab.postgres18();
  const host = await lab.resurgo(server, 'newest');
  const full = await host.backup({ target: 'physical', kind: 'full' });
  let last = full;
  for (let link = 1; link <= 3; link++) {
    await changeOnePercent(server, 10 + link);
    last = await host.backup({ target: 'physical', kind: 'incremental' });
  }
  const restoreOf = (backup: string) => async (): Promise<Sample> => {
    const directory = host.directory('restored');
    const sample = await host.restore({ target: 'physical', backup, mode: 'beside', to: directory.path });
    await directory.stop();
    return sample;
  };
  const samples = await interleave(
    lab.options.rounds,
    [
      { name: 'chain of 4', run: restoreOf(last.result.id) },
      { name: 'full', run: restoreOf(full.result.id) },
    ],
    lab.note,
  );
  return [
    measureOf(
      {
        name: 'chain-restore',
        what: 'restore of full + 3 incrementals',
        unit: 's',
        bar: 1.7,
        peerName: 'own restore of the full',
      },
      samples.get('chain of 4') ?? [],
      samples.get('full'),
    ),
  ];
}
