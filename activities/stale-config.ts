/** A worker keeps the configuration it was started with; whoever added to the file since must hear that, not that their target does not exist. */
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import { isResurgoError, ResurgoError } from '../domain/errors.ts';

/** What is missing, with the reason where the file has become another one; every other error as it is. */
export function explainStale(error: unknown, { host, loaded }: { readonly host: string; readonly loaded: LoadedConfig }): unknown {
  if (!isResurgoError(error, 'targetUnknown') && !isResurgoError(error, 'planUnknown')) return error;
  if (hashOf(loaded.path) === loaded.hash) return error;
  return new ResurgoError(error.code, `${error.message} The worker on ${host} was started with an older configuration than ${loaded.path} has now.`, {
    cause: error,
    details: { ...error.details, hint: 'Start the worker again (`resurgo up`, or `resurgo worker`): it reads its configuration at its start.' },
  });
}

/** Undefined for a file that is gone or has errors: it is another one, too. */
function hashOf(path: string): string | undefined {
  try {
    return loadConfig(path).hash;
  } catch {
    return undefined;
  }
}
