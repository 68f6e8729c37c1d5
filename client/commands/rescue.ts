import { RestoreFailed } from '../../workflows/restore-flow.ts';
import { ResurgoError } from '../../domain/errors.ts';
import type { ProgressStep } from '../progress.ts';
import { failoverInput, showFailedFailover, showFailover, type FailoverFlags } from './failover.ts';
import type { Register } from './index.ts';
import { registerRescuePlan } from './rescue-plan.ts';
import { restoreInput, restoreOptions, showFailedRestore, showRestore, type RestoreFlags } from './restore.ts';

interface RescueFailoverFlags extends FailoverFlags {
  readonly host?: string;
}

interface RescueFlags extends RestoreFlags {
  readonly repository?: string;
  readonly identity?: string;
  readonly trust?: string[];
  readonly toolsDir?: string;
  readonly connection?: string;
  readonly dataDir?: string;
  readonly tablespace?: readonly string[];
}

export const registerRescue: Register = (program, cli) => {
  const rescue = program.command('rescue').description('break glass: work from a repository alone, with Temporal gone');
  rescue
    .command('list')
    .argument('[target]', 'only this target')
    .description('what a repository holds, from its address alone')
    .requiredOption('--repository <url>', '/path, file:///path or s3://bucket/prefix?region=…&endpoint=…')
    .action(
      cli.action(async (context, target: string | undefined, flags: { readonly repository: string }) => {
        const { rescueList } = await import('../rescue-list.ts');
        const backups = await rescueList(flags.repository, target, context.signal);
        if (context.output.json) context.output.result({ repository: flags.repository, backups }, '');
        else if (backups.length === 0) context.output.print('it holds no backups');
        else
          context.output.table(
            [{ title: 'started' }, { title: 'target' }, { title: 'kind' }, { title: 'id' }, { title: 'state' }],
            backups.map((one) => [one.startedAt.slice(0, 19).replace('T', ' '), one.target, one.kind, one.id, one.state.join(', ')]),
          );
        return undefined;
      }),
    );
  restoreOptions(rescue.command('restore').argument('[target]', 'default: the only one there is').description('restore without Temporal, without a worker, without a configuration'))
    .option('--repository <url>', '/path, file:///path or s3://bucket/prefix?region=…&endpoint=…; default: the configuration')
    .option('--identity <file>', 'age identity; or a passphrase in RESURGO_PASSPHRASE')
    .option('--trust <key...>', 'public signing key of the host that took the backups')
    .option('--tools-dir <dir>', 'where pg_restore, pg_controldata … are')
    .option('--connection <url>', 'logical: server to restore into (password from PGPASSWORD or ~/.pgpass)')
    .option('--data-dir <dir>', 'physical, in place: the data directory to replace')
    .option('--tablespace <old=new...>', 'physical: another directory for a tablespace, with --repository; else tablespaceMap of the configuration')
    .action(
      cli.action(async (context, target: string | undefined, flags: RescueFlags) => {
        if (flags.repository !== undefined && flags.identity === undefined && context.env['RESURGO_PASSPHRASE'] === undefined) {
          throw new ResurgoError('usage', '--repository needs --identity FILE, or RESURGO_PASSPHRASE in the environment');
        }
        const input = restoreInput(target ?? '', flags);
        const [{ rescueRestore }, { Progress }] = await Promise.all([import('../rescue.ts'), import('../progress.ts')]);
        const progress = new Progress(context.output);
        const steps: ProgressStep[] = [];
        let current = '';
        const show = (report?: { phase: string; doneBytes?: number; totalBytes?: number; note?: string }): void => {
          progress.update({ steps, active: current === '' || report === undefined ? [] : [{ activity: current, attempt: 1, progress: report }] });
        };
        const passphrase = context.env['RESURGO_PASSPHRASE'];
        try {
          const result = await rescueRestore({
            ...(target === undefined ? {} : { target }),
            loadConfig: () => context.loadConfig(),
            ...(flags.repository === undefined ? {} : { repository: flags.repository }),
            ...(flags.identity === undefined ? {} : { identity: flags.identity }),
            ...(passphrase === undefined || flags.identity !== undefined ? {} : { passphrase }),
            ...(flags.trust === undefined ? {} : { trust: flags.trust }),
            ...(flags.toolsDir === undefined ? {} : { toolsDir: flags.toolsDir }),
            ...(flags.connection === undefined ? {} : { connection: flags.connection }),
            ...(flags.dataDir === undefined ? {} : { dataDir: flags.dataDir }),
            ...(flags.tablespace === undefined ? {} : { tablespaces: flags.tablespace }),
            input,
            signal: context.signal,
            onNote: (text) => { context.output.note(text); },
            onProgress: (report) => { show(report); },
            onStep: (name, state, detail) => {
              current = state === 'in progress' ? name : '';
              const step = { name, state: state as ProgressStep['state'], ...(detail === undefined ? {} : { detail }) };
              const at = steps.findIndex((known) => known.name === name);
              if (at < 0) steps.push(step);
              else steps[at] = step;
              show();
            },
          });
          progress.end();
          return await showRestore(context, result);
        } catch (error) {
          progress.end();
          if (!(error instanceof RestoreFailed)) throw error;
          const { code, message, hint } = error.result.error ?? { code: 'bug', message: error.message };
          const failure = new ResurgoError(code as 'bug', message, { cause: error.original, details: { result: error.result, ...(hint === undefined ? {} : { hint }) } });
          return showFailedRestore(context, failure);
        }
      }),
    );
  rescue
    .command('failover')
    .argument('<cluster>')
    .description('fail a cluster over without Temporal; fences what runs on this machine, or by fence.exec')
    .option('--to <member>', 'which standby (it must lack nothing that another one has)')
    .option('--host <name>', "name of this host, as the members' `host` says it")
    .option('--preview', 'decide and show everything, touch nothing')
    .option('--override-fence <reason>', 'answer in writing for an old primary that cannot be proved to be off')
    .action(
      cli.action(async (context, cluster: string, flags: RescueFailoverFlags) => {
        const input = failoverInput(cluster, flags);
        const loaded = await context.loadConfig();
        const [{ rescueFailover }, { createRescueDeps }, { Progress }, { FailoverFailed }, { startedBy }] = await Promise.all([
          import('../rescue-failover.ts'), import('../rescue-deps.ts'), import('../progress.ts'), import('../../workflows/failover-flow.ts'), import('../session.ts'),
        ]);
        const progress = new Progress(context.output);
        const steps: ProgressStep[] = [];
        const deps = createRescueDeps(loaded, { ...(flags.host === undefined ? {} : { host: flags.host }), signal: context.signal });
        try {
          const result = await rescueFailover({
            deps, input: { ...input, startedBy: `rescue ${await startedBy(context.env)}` }, signal: context.signal,
            onNote: (text) => { context.output.note(text); },
            onStep: (name, state, detail) => {
              const step = { name, state: state as ProgressStep['state'], ...(detail === undefined ? {} : { detail }) };
              const at = steps.findIndex((known) => known.name === name);
              if (at < 0) steps.push(step);
              else steps[at] = step;
              progress.update({ steps, active: [] });
            },
          });
          progress.end();
          return await showFailover(context, result);
        } catch (error) {
          progress.end();
          if (!(error instanceof FailoverFailed)) throw error;
          const { code, message, hint } = error.result.error ?? { code: 'bug', message: error.message };
          return await showFailedFailover(context, new ResurgoError(code as 'bug', message, { cause: error.original, details: { result: error.result, ...(hint === undefined ? {} : { hint }) } }));
        } finally {
          await deps.stores.close();
        }
      }),
    );
  registerRescuePlan(rescue, cli);
};
