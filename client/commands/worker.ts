import { Option } from 'commander';
import { ResurgoError } from '../../domain/errors.ts';
import { underUp } from '../parent-word.ts';
import type { Register } from './index.ts';

interface WorkerFlags { readonly host?: string; readonly heavySlots?: string; readonly logLevel?: string; readonly awaitTemporal?: boolean }

export const registerWorker: Register = (program, cli) => {
  program
    .command('worker')
    .description('a worker against an existing Temporal (temporal.toml, TEMPORAL_*), or the one of `resurgo up`')
    .option('--host <name>', 'name of this host: it takes work bound to the queue resurgo.host.<name>')
    .option('--heavy-slots <n>', 'bulk activities (dumps, restores, read-backs) at once (default 3)')
    .option('--log-level <level>', 'trace, debug, info, warn or error (default info)')
    .addOption(new Option('--await-temporal', 'connect when the parent process says that Temporal serves').hideHelp())
    .action(
      cli.action(async (context, flags: WorkerFlags) => {
        const heavySlots = flags.heavySlots === undefined ? undefined : Number(flags.heavySlots);
        if (heavySlots !== undefined && !(Number.isInteger(heavySlots) && heavySlots >= 1 && heavySlots <= 100)) {
          throw new ResurgoError('usage', `--heavy-slots ${String(flags.heavySlots)} is not a whole number from 1 to 100`);
        }
        const { signal, temporalServes } = underUp(context.signal, flags.awaitTemporal);
        const loaded = await context.loadConfig();
        const [{ runWorkerProcess }, { createLogger, installRuntime }] = await Promise.all([import('../../workers/main.ts'), import('../../workers/telemetry.ts')]);
        const logger = createLogger(flags.logLevel ?? 'info');
        installRuntime(logger);
        await runWorkerProcess({
          configPath: loaded.path,
          logger,
          signal,
          temporalServes,
          ...(flags.host === undefined ? {} : { host: flags.host }),
          ...(heavySlots === undefined ? {} : { heavySlots }),
          onReady: (facts) => {
            logger.info(facts, 'worker is polling');
            process.send?.({ ready: true });
          },
        });
        return undefined;
      }),
    );
};
