import type { Register } from './index.ts';

export const registerSchedules: Register = (program, cli) => {
  const schedules = program.command('schedules').description('Temporal Schedules from the policies of the configuration');
  const declare = (name: 'diff' | 'apply', description: string): void => {
    schedules.command(name).description(description).option('--deep', 'read every schedule whole, also where there are more than 200').action(
      cli.action(async (context, flags: { readonly deep?: boolean }) => {
        const loaded = await context.loadConfig();
        const [{ resolveTemporal }, { connect }, { reconcileSchedules }, { describeSchedules }] = await Promise.all([
          import('../temporal-address.ts'), import('../connect.ts'), import('../schedules/reconcile.ts'), import('../schedules/describe.ts'),
        ]);
        const connected = await connect(await resolveTemporal(loaded.stateDir));
        try {
          const report = await reconcileSchedules(connected.client, loaded.config, { apply: name === 'apply', deep: flags.deep === true, signal: context.signal });
          context.output.result(report, () => describeSchedules(report));
          if (report.failed > 0) return report.failed === report.schedules.length ? 1 : 7;
          return report.counts.foreign > 0 ? 7 : undefined;
        } finally {
          await connected.connection.close();
        }
      }),
    );
  };
  declare('diff', 'what would change; nothing is touched');
  declare('apply', 'create, update and delete schedules so that they are what the configuration says');
};
