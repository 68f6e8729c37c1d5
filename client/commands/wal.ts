import type { CliContext } from '../cli-context.ts';
import type { WalStatus } from '../wal-status.ts';
import type { Register } from './index.ts';

async function assertWal(context: CliContext, target: string): Promise<void> {
  const { assertTarget } = await import('../targets.ts');
  const { ResurgoError } = await import('../../domain/errors.ts');
  const loaded = await context.loadConfig();
  assertTarget(loaded, target);
  const { walTargets } = await import('../wal.ts');
  if (!walTargets(loaded.config).includes(target)) throw new ResurgoError('unsupported', `target ${target} has no WAL archive`, { details: { hint: `Set targets.${target}.wal: true (engine: physical) and restart the workers.` } });
}

async function withClient<T>(context: CliContext, work: (connected: Awaited<ReturnType<typeof import('../connect.ts')['connect']>>) => Promise<T>): Promise<T> {
  const loaded = await context.loadConfig();
  const [{ resolveTemporal }, { connect }] = await Promise.all([import('../temporal-address.ts'), import('../connect.ts')]);
  const connected = await connect(await resolveTemporal(loaded.stateDir));
  try {
    return await work(connected);
  } finally {
    await connected.connection.close();
  }
}

export const registerWal: Register = (program, cli) => {
  const wal = program.command('wal').description('the WAL archive of a target, for restores to a point in time');
  wal.command('start').argument('<target>').description('start archiving; workers do it by themselves when they start').action(
    cli.action(async (context, target: string) => {
      await assertWal(context, target);
      const [{ startWalArchives }, { requireWorker }, { startedBy }] = await Promise.all([import('../wal.ts'), import('../connect.ts'), import('../session.ts')]);
      await withClient(context, async (connected) => {
        await requireWorker(connected);
        await startWalArchives(connected.client, [target], await startedBy(context.env));
      });
      context.output.result({ target, workflowId: `wal/${target}`, status: 'running' }, `the WAL of ${target} is being archived (workflow wal/${target})`);
      return undefined;
    }),
  );
  wal.command('stop').argument('<target>').description('stop archiving; the slot still holds WAL on the server, unless it is dropped').option('--drop-slot', 'drop the replication slot on every server of the target').action(
    cli.action(async (context, target: string, flags: { readonly dropSlot?: boolean }) => {
      await assertWal(context, target);
      const { stopWalArchive } = await import('../wal.ts');
      const stopped = await withClient(context, ({ client }) => stopWalArchive(client, target));
      const dropped = flags.dropSlot === true ? await (await import('../wal-slots.ts')).dropSlots(await context.loadConfig(), target) : [];
      context.output.result({ target, stopped, dropped }, `${stopped ? `archiving of ${target} is stopped` : `no archive of ${target} was running`}${dropped.length === 0 ? '; its replication slot still holds WAL on the server (--drop-slot removes it)' : `; the slot was dropped on ${dropped.join(', ')}`}`);
      return undefined;
    }),
  );
  wal.command('status').argument('<target>').description('what is archived, what can be reached, what would be lost now').action(
    cli.action(async (context, target: string) => {
      await assertWal(context, target);
      const { walStatus } = await import('../wal-status.ts');
      const status = await walStatus(await context.loadConfig(), target);
      context.output.result(status, () => describe(status));
      return undefined;
    }),
  );
};

function describe(status: WalStatus): string {
  const lines = [status.newest === null ? `${status.target}: no WAL is archived yet` : `${status.target}: archived up to ${status.newest}; ${((status.rpoMs ?? 0) / 1000).toFixed(1)} s would be lost now`];
  for (const repository of status.repositories) {
    lines.push(`  ${repository.name}${repository.required ? '' : ' (follows)'}${repository.error === undefined ? '' : `: ${repository.error.message}`}`);
    for (const lineage of repository.lineages) {
      lines.push(`    lineage ${lineage.id.slice(0, 8)} since ${lineage.createdAt} (${lineage.reason})`);
      for (const { timeline, stretches, newest, objects, bytes, points } of lineage.timelines) {
        lines.push(`      timeline ${String(timeline)}: ${stretches.map(({ from, to }) => `${from} … ${to}`).join(', ') || 'nothing yet'}; ${String(objects)} objects, ${(bytes / 1048576).toFixed(1)} MiB${newest === null ? '' : `, up to ${newest}`}`);
        for (const point of points.slice(-10)) lines.push(`        point ${point.name} at ${point.lsn}`);
      }
    }
    for (const gap of repository.gaps) lines.push(`    GAP: ${gap}`);
  }
  const { health } = status;
  if (health !== null) {
    lines.push(`  archive on this host, at ${health.at}: server ${health.server} at ${health.flushLsn}, stored ${health.storedLsn}; slot ${health.slot.name} ${health.slot.status ?? 'missing'}`);
    for (const problem of health.problems) lines.push(`    PROBLEM: ${problem}`);
  }
  return lines.join('\n');
}
