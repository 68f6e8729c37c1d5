import type { Register } from './index.ts';

export const registerMonitor: Register = (program, cli) => {
  const monitor = program.command('monitor').description('what is watched all the time');
  const run = () => import('../monitors/commands.ts');
  monitor.command('list').description('the monitors of the configuration and their rules').action(cli.action(async (context) => (await run()).listMonitors(context)));
  monitor.command('status').description('how each stands now; exit code 6 when one is breached, 5 when one cannot observe').action(cli.action(async (context) => (await run()).monitorStatus(context)));
};
