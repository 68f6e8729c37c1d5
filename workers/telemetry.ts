import { DefaultLogger, Runtime, type LogLevel } from '@temporalio/worker';
import { pino, type Logger } from 'pino';

/** Structured logs on stderr: stdout belongs to results. */
export function createLogger(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }));
}

/** Installs the Temporal runtime's logger; once per process, before any worker. */
export function installRuntime(logger: Logger): void {
  const levels: Record<LogLevel, 'trace' | 'debug' | 'info' | 'warn' | 'error'> = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' };
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }) => {
      const facts = meta ?? {};
      logger[levels[level]]({ ...(facts['workflowId'] === undefined ? {} : { workflowId: facts['workflowId'] }), ...(facts['activityType'] === undefined ? {} : { activity: facts['activityType'] }), ...(facts['error'] instanceof Error ? { error: facts['error'].message } : {}) }, message);
    }),
    // The process that hosts the runtime decides what a signal means.
    shutdownSignals: [],
  });
}
