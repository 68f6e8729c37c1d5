/** Where runs are told to besides Temporal: `telemetry`. */
import { z } from 'zod';
import { secret } from './leaf-keys.ts';
import { duration, isHttpUrl, mapping, text } from './leaf.ts';

const traces = mapping(
  {
    endpoint: secret('An OpenTelemetry collector, or a service that takes OTLP over HTTP, as in `OTEL_EXPORTER_OTLP_ENDPOINT`: `/v1/traces` is appended.', { check: isHttpUrl, shown: (value) => value }),
    headers: z.record(z.string(), secret('Value of the header.')).meta({ kind: 'mapping of header to value', description: 'Headers of each request, as in `OTEL_EXPORTER_OTLP_HEADERS`: what authenticates us.' }).optional(),
    attributes: z.record(z.string(), text('Value of the attribute.')).meta({ kind: 'mapping of name to text', description: 'Attributes of the resource, as in `OTEL_RESOURCE_ATTRIBUTES`; `service.name` is `resurgo` unless it is here.' }).optional(),
    timeout: duration('How long one request may take.', { min: 100 }).default(10_000),
  },
  'Every run as a trace, once it has ended; docs/guides/traces.md.',
);

export const telemetrySection = mapping({ traces: traces.optional() }, 'What is told to other systems of observation.');
export type TracesConfig = z.output<typeof traces>;
