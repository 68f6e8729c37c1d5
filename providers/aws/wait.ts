import { ResurgoError } from '../../domain/errors.ts';

export interface WaitOptions {
  /** What is waited for, in words. */
  readonly what: string;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  readonly onState?: (state: string) => void;
  /** Between two questions; default 5 s growing to 30 s, each with jitter, so that many waiters do not ask at once. */
  readonly firstMs?: number;
  readonly mostMs?: number;
}

/**
 * Asks until the answer is final. @param ask its state for people, and the value when it is done
 * @throws awsTimeout when the deadline has passed; whatever `ask` throws
 */
export async function waitUntil<T>(ask: () => Promise<{ readonly state: string; readonly done?: T }>, options: WaitOptions): Promise<T> {
  const until = Date.now() + options.deadlineMs;
  let pause = options.firstMs ?? 5000;
  for (;;) {
    options.signal?.throwIfAborted();
    const { state, done } = await ask();
    options.onState?.(state);
    if (done !== undefined) return done;
    if (Date.now() > until) throw new ResurgoError('awsTimeout', `${options.what} is still ${state} after ${String(Math.round(options.deadlineMs / 60_000))} minutes`);
    await sleep(pause * (0.5 + Math.random()), options.signal);
    pause = Math.min(pause * 1.5, options.mostMs ?? 30_000);
  }
}

const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
