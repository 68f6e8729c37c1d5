/** One look at one thing. Never throws: what cannot be observed is `unknown`, and says why. */
import type { Observation } from '../../domain/monitor.ts';
import { lookAws, type AwsLook } from './aws.ts';
import { lookHost, type HostLook } from './host.ts';
import { lookHttp, lookPrometheus, type HttpLook, type PrometheusLook } from './http.ts';
import { lookPostgres, type PostgresLook } from './postgres.ts';

/** What is looked at, secrets in the clear. */
export type Look = HttpLook | PrometheusLook | PostgresLook | HostLook | AwsLook;
export type Seen = Omit<Observation, 'at'>;

export const unknown = (detail: string): Seen => ({ state: 'unknown', value: null, detail });

export async function observe(look: Look, timeoutMs: number, signal: AbortSignal): Promise<Seen> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    switch (look.kind) {
      case 'http':
        return await lookHttp(look, limit);
      case 'prometheus':
        return await lookPrometheus(look, limit);
      case 'postgres':
        return await lookPostgres(look, limit, timeoutMs);
      case 'host':
        return await lookHost(look);
      default:
        return await lookAws(look, limit);
    }
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return unknown(limit.aborted ? `no answer within ${String(timeoutMs)} ms` : `${name === 'Error' ? '' : `${name}: `}${message}`.slice(0, 300));
  }
}
