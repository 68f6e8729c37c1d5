import { ResurgoError } from '../../domain/errors.ts';

export const cancelled = (what: string, cause: unknown): ResurgoError =>
  new ResurgoError('cancelled', `${what} was cancelled.`, { cause });

/** @throws cancelled */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted === true) throw cancelled(what, signal.reason);
}

/** Waits; ends at once when the signal fires. Milliseconds. @throws cancelled */
export async function sleep(ms: number, signal: AbortSignal | undefined, what: string): Promise<void> {
  throwIfAborted(signal, what);
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(cancelled(what, signal?.reason));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
