import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What the gateway counts. Others add theirs to the registry. */
export interface GatewayMetrics {
  readonly registry: Registry;
  readonly deliveries: Counter<'hook' | 'status'>;
  readonly alerts: Counter<'hook' | 'outcome'>;
  readonly seconds: Histogram<'hook'>;
  readonly temporalUp: Gauge;
}

export function gatewayMetrics(): GatewayMetrics {
  const registry = new Registry();
  const registers = [registry];
  return {
    registry,
    deliveries: new Counter({ name: 'resurgo_webhook_deliveries_total', help: 'Deliveries by webhook and HTTP status of the answer.', labelNames: ['hook', 'status'], registers }),
    alerts: new Counter({ name: 'resurgo_webhook_alerts_total', help: 'Alerts in deliveries: accepted, known (accepted before), ignored.', labelNames: ['hook', 'outcome'], registers }),
    seconds: new Histogram({ name: 'resurgo_webhook_duration_seconds', help: 'Time to answer a delivery.', labelNames: ['hook'], buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5], registers }),
    temporalUp: new Gauge({ name: 'resurgo_gateway_temporal_up', help: 'Whether Temporal answered the last time the gateway asked.', registers }),
  };
}
