import { createHash } from 'node:crypto';
import { defaultPayloadConverter } from '@temporalio/common';
import type { WorkflowHandle } from '@temporalio/client';
import type { Span, SpanAttributes, SpanEvent, SpanStatus } from '../domain/trace.ts';

type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;
type HistoryEvent = NonNullable<History['events']>[number];
type Time = NonNullable<HistoryEvent['eventTime']>;
type Failure = NonNullable<NonNullable<HistoryEvent['activityTaskFailedEventAttributes']>['failure']>;
type Payload = NonNullable<NonNullable<HistoryEvent['userMetadata']>['summary']>;

/** Characters of a message. */
const mostMessage = 1000;

const digest = (text: string, bytes: number): string => createHash('sha256').update(text).digest('hex').slice(0, bytes * 2);
const traceOf = (rootRunId: string): string => digest(`trace ${rootRunId}`, 16);
const spanOfRun = (runId: string): string => digest(`run ${runId}`, 8);
const spanOfStep = (runId: string, event: string): string => digest(`run ${runId} event ${event}`, 8);

/**
 * A closed run as spans: itself and each activity, from the moment it was scheduled to its end, with what failed attempts said. Made from the history alone: nothing is
 * lost with a worker, and workflows know nothing of it. Empty when the history does not begin or end.
 */
export function spansOfRun(run: { readonly workflowId: string; readonly runId: string }, namespace: string, history: History): Span[] {
  const events = history.events ?? [];
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  const last = events.at(-1);
  const end = last === undefined ? undefined : endOf(last);
  if (started == null || last === undefined || end === undefined) return [];
  const traceId = traceOf(started.rootWorkflowExecution?.runId || started.parentWorkflowExecution?.runId || run.runId);
  const steps: Span[] = [];
  const open = new Map<string, { readonly scheduled: HistoryEvent; readonly events: SpanEvent[]; facts: SpanAttributes }>();
  for (const event of events) {
    const { activityTaskScheduledEventAttributes: scheduled, activityTaskStartedEventAttributes: begun } = event;
    if (scheduled != null) open.set(String(event.eventId), { scheduled: event, events: [], facts: {} });
    const step = begun == null ? undefined : open.get(String(begun.scheduledEventId));
    if (begun != null && step !== undefined) {
      step.events.push({ name: 'started', at: nanos(event.eventTime), attributes: { 'temporal.worker.identity': begun.identity ?? '' } });
      step.facts = { 'temporal.activity.attempt': begun.attempt ?? 1 };
      if (begun.lastFailure != null) step.events.push({ name: 'attempt failed', at: nanos(event.eventTime), attributes: failureFacts(begun.lastFailure) });
    }
    const closed = stepEnd(event);
    const ended = closed === undefined ? undefined : open.get(closed.scheduled);
    if (closed === undefined || ended === undefined) continue;
    open.delete(closed.scheduled);
    const { scheduled: _, ...how } = closed;
    steps.push(stepSpan({ ...ended, ...how, close: event, traceId, runId: run.runId }));
  }
  // A run that was terminated, or timed out, leaves steps open.
  for (const step of open.values()) steps.push(stepSpan({ ...step, close: last, traceId, runId: run.runId, status: 'error', message: 'the run ended before it' }));
  return [runSpan(run, namespace, events, traceId, end), ...steps];
}

/** How something ended. */
interface Ending {
  readonly status: SpanStatus;
  readonly failure?: Failure | null | undefined;
  readonly message?: string;
}

function ending({ status, failure, message }: Ending): Pick<Span, 'status' | 'message'> {
  const said = failure == null ? message : failureMessage(failure);
  return said === undefined ? { status } : { status, message: said };
}

interface End extends Ending {
  readonly outcome: string;
}

function endOf(event: HistoryEvent): End | undefined {
  if (event.workflowExecutionCompletedEventAttributes != null) return { status: 'ok', outcome: 'completed' };
  if (event.workflowExecutionContinuedAsNewEventAttributes != null) return { status: 'ok', outcome: 'continued as new' };
  if (event.workflowExecutionCanceledEventAttributes != null) return { status: 'unset', outcome: 'cancelled' };
  if (event.workflowExecutionFailedEventAttributes != null) return { status: 'error', outcome: 'failed', failure: event.workflowExecutionFailedEventAttributes.failure };
  if (event.workflowExecutionTimedOutEventAttributes != null) return { status: 'error', outcome: 'timed out', message: 'the run took too long' };
  const terminated = event.workflowExecutionTerminatedEventAttributes;
  if (terminated != null) return { status: 'error', outcome: 'terminated', message: `terminated: ${terminated.reason || 'no reason was given'}` };
  return undefined;
}

function runSpan(run: { readonly workflowId: string; readonly runId: string }, namespace: string, events: readonly HistoryEvent[], traceId: string, end: End): Span {
  const started = events[0]?.workflowExecutionStartedEventAttributes;
  const parent = started?.parentWorkflowExecution?.runId;
  const summary = textOf(events[0]?.userMetadata?.summary);
  return {
    traceId,
    spanId: spanOfRun(run.runId),
    ...(parent === undefined || parent === null || parent === '' ? {} : { parentSpanId: spanOfRun(parent) }),
    name: started?.workflowType?.name ?? 'workflow',
    start: nanos(events[0]?.eventTime),
    end: nanos(events.at(-1)?.eventTime),
    attributes: {
      'temporal.namespace': namespace, 'temporal.workflow.id': run.workflowId, 'temporal.workflow.run_id': run.runId, 'temporal.workflow.type': started?.workflowType?.name ?? '',
      ...(summary === undefined ? {} : { 'temporal.summary': summary }), ...searchFacts(events), 'resurgo.run.outcome': end.outcome, ...(end.failure == null ? {} : errorType(end.failure)),
    },
    events: events.flatMap((event) => messageOf(event)),
    ...ending(end),
  };
}

/** What came from outside while it ran. */
function messageOf(event: HistoryEvent): SpanEvent[] {
  const at = nanos(event.eventTime);
  const signal = event.workflowExecutionSignaledEventAttributes;
  if (signal != null) return [{ name: `signal ${signal.signalName ?? ''}`, at, attributes: {} }];
  const update = event.workflowExecutionUpdateAcceptedEventAttributes;
  if (update != null) return [{ name: `update ${update.acceptedRequest?.input?.name ?? ''}`, at, attributes: {} }];
  return event.workflowExecutionCancelRequestedEventAttributes == null ? [] : [{ name: 'cancel requested', at, attributes: {} }];
}

/** `ResurgoTarget` becomes `resurgo.target`. */
function searchFacts(events: readonly HistoryEvent[]): SpanAttributes {
  const facts: Record<string, string> = {};
  for (const event of events) {
    for (const [name, payload] of Object.entries(event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields ?? {})) {
      const value = valueOf(payload);
      const word = Array.isArray(value) ? (value as unknown[])[0] : value;
      if (name.startsWith('Resurgo') && typeof word === 'string') facts[`resurgo.${name.slice('Resurgo'.length).toLowerCase()}`] = word;
    }
  }
  return facts;
}

interface StepEnd extends Ending {
  /** Id of the event that scheduled it. */
  readonly scheduled: string;
}

function stepEnd(event: HistoryEvent): StepEnd | undefined {
  const { activityTaskCompletedEventAttributes: done, activityTaskFailedEventAttributes: failed, activityTaskTimedOutEventAttributes: late, activityTaskCanceledEventAttributes: cancelled } = event;
  if (done != null) return { scheduled: String(done.scheduledEventId), status: 'ok' };
  if (failed != null) return { scheduled: String(failed.scheduledEventId), status: 'error', failure: failed.failure };
  if (late != null) return { scheduled: String(late.scheduledEventId), status: 'error', failure: late.failure };
  return cancelled == null ? undefined : { scheduled: String(cancelled.scheduledEventId), status: 'unset', message: 'cancelled' };
}

interface Step extends Ending {
  readonly scheduled: HistoryEvent;
  readonly close: HistoryEvent;
  readonly events: readonly SpanEvent[];
  readonly facts: SpanAttributes;
  readonly traceId: string;
  readonly runId: string;
}

function stepSpan({ scheduled, close, events, facts, traceId, runId, ...end }: Step): Span {
  const asked = scheduled.activityTaskScheduledEventAttributes;
  const summary = textOf(scheduled.userMetadata?.summary);
  return {
    traceId,
    spanId: spanOfStep(runId, String(scheduled.eventId)),
    parentSpanId: spanOfRun(runId),
    name: asked?.activityType?.name ?? 'activity',
    start: nanos(scheduled.eventTime),
    end: nanos(close.eventTime),
    attributes: {
      'temporal.activity.id': asked?.activityId ?? '', 'temporal.activity.type': asked?.activityType?.name ?? '', 'temporal.task_queue': asked?.taskQueue?.name ?? '',
      ...facts, ...(summary === undefined ? {} : { 'temporal.summary': summary }), ...(end.failure == null ? {} : errorType(end.failure)),
    },
    events,
    ...ending(end),
  };
}

const nanos = (time: Time | null | undefined): bigint => BigInt(String(time?.seconds ?? 0)) * 1_000_000_000n + BigInt(time?.nanos ?? 0);
const failureMessage = (failure: Failure): string => rootOf(failure).slice(0, mostMessage);
const rootOf = (failure: Failure): string => (failure.cause != null && failure.applicationFailureInfo == null ? rootOf(failure.cause) : (failure.message ?? ''));
function errorType(failure: Failure): SpanAttributes {
  const type = failure.applicationFailureInfo?.type || (failure.timeoutFailureInfo == null ? '' : 'timeout');
  if (type !== '') return { 'error.type': type };
  return failure.cause == null ? {} : errorType(failure.cause);
}
const failureFacts = (failure: Failure): SpanAttributes => ({ ...errorType(failure), 'error.message': failureMessage(failure) });

function valueOf(payload: Payload): unknown {
  try {
    return defaultPayloadConverter.fromPayload(payload);
  } catch {
    return undefined;
  }
}
const textOf = (payload: Payload | null | undefined): string | undefined => {
  const value = payload == null ? undefined : valueOf(payload);
  return typeof value === 'string' ? value : undefined;
};
