/** Spans to an OpenTelemetry collector: OTLP over HTTP, as JSON (opentelemetry.io/docs/specs/otlp). */
import type { Span, SpanAttributes, SpanStatus } from '../../domain/trace.ts';
import { post } from '../notify/http-post.ts';

export interface Collector {
  /** As of `OTEL_EXPORTER_OTLP_ENDPOINT`: `/v1/traces` is appended where it is not there. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of everything that is sent, `service.name` among them. */
  readonly resource: SpanAttributes;
  readonly timeoutMs: number;
}

const statusCodes: Readonly<Record<SpanStatus, number>> = { unset: 0, ok: 1, error: 2 };
/** SPAN_KIND_INTERNAL */
const internal = 1;

export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  if (!/\/v1\/traces\/?$/.test(url.pathname)) url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`;
  return url.href;
}

/** @throws channelUnreachable, channelThrottled, channelRefused with `details.status` */
export async function sendSpans(collector: Collector, spans: readonly Span[], version: string, signal?: AbortSignal): Promise<void> {
  const { endpoint, headers, resource, timeoutMs } = collector;
  const body = {
    resourceSpans: spans.length === 0 ? [] : [{ resource: { attributes: attributesOf(resource) }, scopeSpans: [{ scope: { name: 'resurgo', version }, spans: spans.map(spanOf) }] }],
  };
  await post({ what: 'telemetry.traces', url: tracesUrl(endpoint), body: JSON.stringify(body), headers, timeoutMs, signal });
}

const spanOf = ({ traceId, spanId, parentSpanId, name, start, end, attributes, events, status, message }: Span): object => ({
  traceId,
  spanId,
  ...(parentSpanId === undefined ? {} : { parentSpanId }),
  name,
  kind: internal,
  startTimeUnixNano: String(start),
  endTimeUnixNano: String(end),
  attributes: attributesOf(attributes),
  events: events.map((event) => ({ name: event.name, timeUnixNano: String(event.at), attributes: attributesOf(event.attributes) })),
  status: { code: statusCodes[status], ...(message === undefined ? {} : { message }) },
});

const attributesOf = (attributes: SpanAttributes): object[] =>
  Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : typeof value === 'boolean' ? { boolValue: value } : Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value },
  }));
