/** A place messages go to, with its secrets in the clear: made where it is used, never kept. */
export interface SlackChannel { readonly kind: 'slack'; readonly name: string; readonly url: string; readonly timeoutMs: number }
export interface SmtpChannel {
  readonly kind: 'smtp';
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte; without it STARTTLS is used where the server offers it. */
  readonly tls: boolean;
  /** Refuse to send without TLS. */
  readonly requireTls: boolean;
  readonly verifyTls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly timeoutMs: number;
}
export interface PagerDutyChannel { readonly kind: 'pagerduty'; readonly name: string; readonly routingKey: string; readonly endpoint: string; readonly timeoutMs: number }
export interface WebhookChannel {
  readonly kind: 'webhook';
  readonly name: string;
  readonly url: string;
  /** `Authorization: Bearer …` */
  readonly token?: string;
  /** `X-Resurgo-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">` */
  readonly hmac?: string;
  readonly timeoutMs: number;
}
export type Channel = SlackChannel | SmtpChannel | PagerDutyChannel | WebhookChannel;
