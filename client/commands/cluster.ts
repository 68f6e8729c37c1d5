import { Option } from 'commander';
import type { AttachInput, AttachWay } from '../../domain/attach.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { CliContext, Outcome } from '../cli-context.ts';
import { failoverInput, showFailedFailover, showFailover, type FailoverFlags } from './failover.ts';
import type { Register } from './index.ts';

async function attach(context: CliContext, target: string, member: string, by: AttachWay, detach: boolean): Promise<Outcome> {
  const { assertTarget } = await import('../targets.ts');
  assertTarget(await context.loadConfig(), target);
  const { runAndFollow, startedBy } = await import('../session.ts');
  const input: AttachInput = { target, member, by, startedBy: await startedBy(context.env) };
  const result = await runAndFollow(context, 'attachStandby', input, { detach });
  if (result !== undefined) context.output.result(result, `${member} streams from ${result.primary} on timeline ${String(result.timeline)}${result.kept === null ? '' : `\nthe old data is kept in ${result.kept}`}`);
  return undefined;
}

export const registerCluster: Register = (program, cli) => {
  program
    .command('switchover')
    .argument('<cluster>')
    .description('change roles as planned, without loss; the old primary comes back as a standby')
    .option('--to <member>', 'which standby; default the one with the least lag')
    .option('--preview', 'decide and show everything, touch nothing')
    .option('--detach', 'start it and return')
    .action(
      cli.action(async (context, cluster: string, flags: FailoverFlags) => {
        const { assertTarget } = await import('../targets.ts');
        assertTarget(await context.loadConfig(), cluster);
        const { runAndFollow, startedBy } = await import('../session.ts');
        try {
          const result = await runAndFollow(context, 'switchover', { ...failoverInput(cluster, flags), startedBy: await startedBy(context.env) }, { detach: flags.detach === true });
          return result === undefined ? undefined : await showFailover(context, result);
        } catch (error) {
          return showFailedFailover(context, error);
        }
      }),
    );
  program
    .command('rejoin')
    .argument('<cluster>')
    .argument('<member>')
    .description('bring an old primary back as a standby')
    .addOption(new Option('--by <way>', 'rewind: pg_rewind; clone: a fresh copy in place of its data; keep: a fresh copy, its data kept beside it').choices(['rewind', 'clone', 'keep']).makeOptionMandatory())
    .option('--detach', 'start it and return')
    .action(cli.action((context, cluster: string, member: string, flags: { by: AttachWay; detach?: boolean }) => attach(context, cluster, member, flags.by, flags.detach === true)));
  const standby = program.command('standby').description('streaming standbys of a cluster');
  for (const by of ['build', 'reattach', 'rebuild'] as const) {
    standby
      .command(by)
      .argument('<cluster>')
      .argument('<member>')
      .description({ build: 'build a member as a standby in its empty data directory', reattach: 'start a standby again and point it to its primary; nothing is copied', rebuild: 'replace the data of a standby by a fresh copy of the primary' }[by])
      .option('--detach', 'start it and return')
      .action(cli.action((context, cluster: string, member: string, flags: { detach?: boolean }) => attach(context, cluster, member, by, flags.detach === true)));
  }
  standby
    .command('status')
    .argument('<cluster>')
    .description('ask every member who it is and how far; needs no Temporal')
    .action(
      cli.action(async (context, cluster: string) => {
        const loaded = await context.loadConfig();
        const [{ createRescueDeps }, { clusterOf }, { askAll }, { bytesBehind, contradiction, judge }] = await Promise.all([import('../rescue-deps.ts'), import('../../activities/cluster/members.ts'), import('../../activities/cluster/observe.ts'), import('../../domain/cluster.ts')]);
        const deps = createRescueDeps(loaded, { signal: context.signal });
        const members = await askAll(clusterOf(deps, cluster), { signal: context.signal });
        const clash = contradiction({ members, rounds: 1, observedMs: 0, silentRounds: {} });
        if (clash !== undefined) throw new ResurgoError(clash.code, clash.message);
        const [primary] = judge(members).primaries;
        const rows = members.map((one) => {
          const behind = one.role === 'standby' && primary?.lsn !== undefined ? bytesBehind(primary.lsn, one.replayedLsn ?? one.lsn ?? '0/0') : null;
          return { ...one, lagBytes: behind };
        });
        context.output.result({ cluster, primary: primary?.name ?? null, members: rows }, '');
        if (!context.output.json) context.output.table([{ title: 'member' }, { title: 'role' }, { title: 'timeline' }, { title: 'LSN' }, { title: 'behind', right: true }, { title: '' }],
          rows.map((one) => [one.name, one.role ?? `silent (${one.silence ?? 'unknown'})`, String(one.timeline ?? ''), one.lsn ?? '', one.lagBytes === null ? '' : `${String(one.lagBytes)} B`, one.receiver?.status ?? one.problem ?? '']));
        return primary === undefined ? 1 : undefined;
      }),
    );
};
