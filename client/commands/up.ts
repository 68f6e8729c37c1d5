import { fileURLToPath } from 'node:url';
import type { Register } from './index.ts';

interface UpFlags { readonly host?: string; readonly heavySlots?: string; readonly verbose?: boolean }

export const registerUp: Register = (program, cli) => {
  program
    .command('up')
    .description('all-in-one: Temporal, a worker and the gateway, restarted when they die; state under .resurgo/')
    .option('--host <name>', 'name of this host on task queues')
    .option('--heavy-slots <n>', 'bulk activities at once (default 3)')
    .option('--verbose', 'show what the parts log')
    .action(
      cli.action(async (context, flags: UpFlags) => {
        const { output } = context;
        const loaded = await context.loadConfig();
        const [{ runUp }, { gatewayDefaults }] = await Promise.all([import('../../workers/embedded/up.ts'), import('../gateway/defaults.ts')]);
        const entry = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../cli.ts' : '../cli.js', import.meta.url));
        await runUp({
          stateDir: loaded.stateDir,
          worker: {
            command: process.execPath,
            args: [...process.execArgv, '--disable-warning=ExperimentalWarning', entry, 'worker', '--await-temporal', '--config', loaded.path, ...(flags.host === undefined ? [] : ['--host', flags.host]), ...(flags.heavySlots === undefined ? [] : ['--heavy-slots', flags.heavySlots])],
          },
          gateway: {
            port: loaded.config.gateway?.port ?? gatewayDefaults.port,
            command: process.execPath,
            args: (port) => [...process.execArgv, '--disable-warning=ExperimentalWarning', entry, 'gateway', '--await-temporal', '--config', loaded.path, '--port', String(port)],
          },
          signal: context.signal,
          onEvent: (event) => {
            if (event.type === 'ready') {
              output.result(
                { status: 'ready', address: event.state.address, namespace: event.state.namespace, ui: event.state.ui, gateway: event.state.gateway, pid: event.state.pid, tookMs: event.tookMs },
                `ready in ${(event.tookMs / 1000).toFixed(1)} s\n  Temporal  ${event.state.address} (namespace ${event.state.namespace})\n  UI        ${event.state.ui}\n  gateway   ${event.state.gateway ?? 'is not running; see above'}\n  state     ${loaded.stateDir}\nStop with Ctrl-C; runs go on at the next start.`,
              );
            } else if (event.type === 'restarted') output.note(`the ${event.part} ended (${event.how}); starting it again`);
            else if (event.type === 'stopping') output.note('stopping');
            else if (flags.verbose === true || isTrouble(event.line)) output.note(`${event.part}: ${event.line}`);
          },
        });
        return undefined;
      }),
    );
};

/** Lines of the parts that a person has to see without --verbose. */
const isTrouble = (line: string): boolean => /"level":(50|60)|"level":"(error|fatal)"|^(error|Error):/.test(line);
