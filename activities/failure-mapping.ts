import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { errors, isResurgoError, type ErrorCode } from '../domain/errors.ts';
import { ResurgoError } from '../domain/errors.ts';

const systemCodes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'repositoryFull',
  EDQUOT: 'repositoryFull',
  ECONNREFUSED: 'sourceUnreachable',
  ECONNRESET: 'sourceUnreachable',
  ETIMEDOUT: 'sourceUnreachable',
  EACCES: 'repositoryDenied',
  EROFS: 'repositoryDenied',
};

/** Any thrown value as the one error class; what no provider named is a bug and says so. */
export function toResurgoError(error: unknown): ResurgoError {
  if (isResurgoError(error)) return error;
  const system = (error as NodeJS.ErrnoException | undefined)?.code;
  const message = error instanceof Error ? error.message : String(error);
  return new ResurgoError((system === undefined ? undefined : systemCodes[system]) ?? 'bug', message, { cause: error });
}

/** The activity boundary: a provider's error becomes one `ApplicationFailure` of its code. Cancellation passes as it is. */
export function toFailure(error: unknown): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  const known = toResurgoError(error);
  const { kind, retryable } = errors[known.code];
  const { hint, retryAfterMs, ...details } = known.details;
  return ApplicationFailure.create({
    type: known.code,
    message: cut(known.message, mostMessage),
    nonRetryable: !retryable,
    details: [{ kind, hint: hint ?? known.hint, ...bounded(plain(details)) }],
    ...(retryAfterMs === undefined ? {} : { nextRetryDelay: retryAfterMs }),
    ...(known.cause instanceof Error && known.cause.message.length < 300 ? { cause: known.cause } : {}),
  });
}

const plain = (value: Record<string, unknown>): Record<string, unknown> => JSON.parse(JSON.stringify(value)) as Record<string, unknown>;

/** Temporal keeps 4 KB of the last failure of an activity that is tried again, or nothing; the message is in it twice. */
const mostMessage = 1000;
const mostDetails = 1200;

/** Begin and end: the one says what was wrong, the other what became of it. */
const cut = (text: string, most: number): string => (text.length <= most ? text : `${text.slice(0, Math.ceil(most * 0.7))} … ${text.slice(-Math.floor(most * 0.25))}`);

function bounded(details: Record<string, unknown>): Record<string, unknown> {
  if (JSON.stringify(details).length <= mostDetails) return details;
  const shorter = Object.entries(details).map(([key, value]): [string, unknown] => [
    key,
    typeof value === 'string' ? cut(value, 400) : Array.isArray(value) ? value.slice(0, 5).map((each: unknown) => (typeof each === 'string' ? cut(each, 150) : each)) : value,
  ]);
  return Object.fromEntries(shorter.filter(([, value]) => JSON.stringify(value).length <= 800));
}

type AsyncFunction = (...args: never[]) => Promise<unknown>;

/** Well below the heartbeat timeout of workflows/activity-profiles.ts; a step that ends sooner sends none. */
const beatMs = 3000;

/** Activities that send heartbeats of their own, with their progress. */
const pulsing = new WeakSet<Context>();

/** Until the returned function is called, the caller sends this activity's heartbeats. */
export function takePulse(context: Context | undefined): () => void {
  if (context === undefined) return () => undefined;
  pulsing.add(context);
  return () => {
    pulsing.delete(context);
  };
}

/** Every activity says that its worker lives, so that the death of a worker is noticed in seconds and a cancel reaches it. */
function beating(context: Context | undefined): () => void {
  if (context === undefined || context.info.isLocal) return () => undefined;
  const timer = setInterval(() => {
    if (!pulsing.has(context)) context.heartbeat();
  }, beatMs);
  return () => {
    clearInterval(timer);
  };
}

/** Wraps every activity of a record in the boundary. @param explain what a worker knows of an error besides */
export function atBoundary<T extends Record<string, AsyncFunction>>(activities: T, explain: (error: unknown) => unknown): T {
  const wrapped: Record<string, AsyncFunction> = {};
  for (const [name, run] of Object.entries(activities)) {
    wrapped[name] = async (...args: never[]) => {
      const context = currentContext();
      const rest = beating(context);
      try {
        return await run(...args);
      } catch (error) {
        // A provider that was told to stop may throw anything; what counts is that we were told.
        if (context?.cancellationSignal.aborted === true) await context.cancelled;
        throw toFailure(explain(error));
      } finally {
        rest();
      }
    };
  }
  return wrapped as T;
}

/** Undefined outside an activity, as in `resurgo rescue`. */
export function currentContext(): Context | undefined {
  try {
    return Context.current();
  } catch {
    return undefined;
  }
}
