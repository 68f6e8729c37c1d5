import type { RawAlert } from '../../../domain/alert.ts';
import type { WebhookConfig } from '../../../config/schema-webhooks.ts';

export interface Delivery {
  readonly hook: WebhookConfig;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** SHA-256 of the raw body, hex: the last resort of a dedupe key. */
  readonly bodyDigest: string;
  /** Labels that rules ask for. */
  readonly wanted: ReadonlySet<string>;
}

/** What was read; `ignored` says why a delivery that is right holds no alert. */
export interface ReadAlerts {
  readonly alerts: readonly RawAlert[];
  readonly ignored?: string;
}

/** @throws Problem 422 when the payload is not of this format */
export type ReadFormat = (delivery: Delivery) => ReadAlerts;
