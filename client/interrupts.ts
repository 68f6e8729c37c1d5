import { ResurgoError } from '../domain/errors.ts';
import type { Output } from './output.ts';

/** Signals from a terminal arrive twice when a wrapper such as npm passes them on: only a later one is a second wish. */
const secondAfterMs = 750;

/** The first SIGINT or SIGTERM asks the command to end nicely, a second one ends the process. */
export function watchInterrupts(output: Output): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  let first = 0;
  const onSignal = (): void => {
    if (first === 0) {
      first = Date.now();
      output.note('stopping; once more to stop at once');
      controller.abort(new ResurgoError('cancelled', 'Interrupted.'));
    } else if (Date.now() - first > secondAfterMs) process.exit(130);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    stop: () => void process.off('SIGINT', onSignal).off('SIGTERM', onSignal),
  };
}
