import { Option } from 'commander';
import { ResurgoError } from '../../domain/errors.ts';
import { underUp } from '../parent-word.ts';
import type { Register } from './index.ts';

interface GatewayFlags { readonly host?: string; readonly port?: string; readonly logLevel?: string; readonly awaitTemporal?: boolean }

export const registerGateway: Register = (program, cli) => {
  program
    .command('gateway')
    .description('webhooks and metrics over HTTP, in front of an existing Temporal or the one of `resurgo up`')
    .option('--host <address>', 'address to listen on (default gateway.host, else 127.0.0.1)')
    .option('--port <n>', 'port to listen on; 0 takes a free one (default gateway.port, else 8377)')
    .option('--log-level <level>', 'trace, debug, info, warn or error (default info)')
    .addOption(new Option('--await-temporal', 'connect when the parent process says where Temporal serves').hideHelp())
    .action(
      cli.action(async (context, flags: GatewayFlags) => {
        const port = flags.port === undefined ? undefined : Number(flags.port);
        if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) throw new ResurgoError('usage', `--port ${String(flags.port)} is not a number from 0 to 65535`);
        const { signal, temporalServes } = underUp(context.signal, flags.awaitTemporal);
        const loaded = await context.loadConfig();
        const [{ runGateway }, { createLogger }] = await Promise.all([import('../gateway/run.ts'), import('../../workers/telemetry.ts')]);
        const logger = createLogger(flags.logLevel ?? 'info');
        if (!(await temporalServes)) return undefined;
        await runGateway({
          loaded,
          env: context.env,
          ...(flags.host === undefined ? {} : { host: flags.host }),
          ...(port === undefined ? {} : { port }),
          signal,
          log: ({ status, message, hook }) => { logger[status >= 500 ? 'error' : 'warn']({ status, ...(hook === undefined ? {} : { hook }) }, message); },
          onReady: (facts) => {
            logger.info(facts, 'gateway is listening');
            process.send?.({ ready: true, url: facts.url });
          },
        });
        return undefined;
      }),
    );
};
