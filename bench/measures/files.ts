import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../../test/support/index.ts';
import type { Lab } from '../lab.ts';
import { measureOf } from '../report.ts';
import { ResurgoHost } from '../resurgo-host.ts';
import { runTool } from '../tool.ts';
import type { Measure, Sample } from '../types.ts';

const files = 100_000;
const perDirectory = 100;
const changedEach = 1000;

const pathOf = (root: string, i: number): string => join(root, `d${String(Math.floor(i / perDirectory))}`, `f${String(i % perDirectory)}`);

/** An incremental after 0.1 % of 100,000 files of 4 KB have changed, against a full of the same tree in the same round. */
export async function filesIncremental(lab: Lab): Promise<Measure[]> {
  const tree = tempDir('bench-files');
  lab.note(`making ${String(files)} files`);
  for (let i = 0; i < files; i++) {
    if (i % perDirectory === 0) mkdirSync(join(pathOf(tree.path, i), '..'));
    writeFileSync(pathOf(tree.path, i), `${String(i)} `.repeat(4096 / (String(i).length + 1)));
  }
  const host = await ResurgoHost.create({ tree: { type: 'files', paths: [tree.path] } });
  const ours: Sample[] = [];
  const peer: Sample[] = [];
  try {
    await host.start();
    for (let round = 0; round < lab.options.rounds; round++) {
      await runTool('sync', []);
      peer.push(await host.backup({ target: 'tree', kind: 'full' }));
      for (let i = round; i < files; i += changedEach) writeFileSync(pathOf(tree.path, i), `changed in round ${String(round)}`);
      await runTool('sync', []);
      ours.push(await host.backup({ target: 'tree', kind: 'incremental' }));
      lab.note(`round ${String(round + 1)}: full ${peer.at(-1)?.value.toFixed(2) ?? ''}, incremental ${ours.at(-1)?.value.toFixed(2) ?? ''}`);
    }
  } finally {
    await host.stop();
    await tree.stop();
  }
  return [measureOf({ name: 'files-incremental', what: 'incremental of 100,000 files after 0.1 % changed', unit: 's', bar: 0.25, peerName: 'own full backup' }, ours, peer)];
}
