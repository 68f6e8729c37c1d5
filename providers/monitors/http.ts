import type { Seen } from './observe.ts';

export interface HttpLook { readonly kind: 'http'; readonly url: string; readonly status?: number; readonly contains?: string; readonly token?: string }
export interface PrometheusLook { readonly kind: 'prometheus'; readonly url: string; readonly query: string; readonly token?: string; readonly below: boolean }

/** Faults of this side: they tell nothing of the other one. */
export const ours: readonly string[] = ['ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'ENETDOWN', 'EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'EPERM', 'EACCES'];

const codeOf = (error: unknown): string => {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as NodeJS.ErrnoException;
    if (typeof code === 'string') return code;
  }
  return '';
};

async function text(response: Response, limit: number): Promise<string> {
  let all = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    all += decoder.decode(chunk as Uint8Array, { stream: true });
    if (all.length > limit) break;
  }
  return all;
}

const headers = (token: string | undefined): Record<string, string> => ({ 'user-agent': 'resurgo-monitor', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) });

/** The value is the time to the whole answer, ms. */
export async function lookHttp(look: HttpLook, signal: AbortSignal): Promise<Seen> {
  const begun = performance.now();
  const took = (): number => Math.round(performance.now() - begun);
  try {
    const response = await fetch(look.url, { signal, redirect: 'manual', headers: headers(look.token) });
    const body = await text(response, 1024 ** 2);
    if (look.status === undefined ? response.status >= 400 : response.status !== look.status) return { state: 'bad', value: took(), detail: `status ${String(response.status)}` };
    if (look.contains !== undefined && !body.includes(look.contains)) return { state: 'bad', value: took(), detail: `the answer does not contain ${JSON.stringify(look.contains)}` };
    return { state: 'ok', value: took(), detail: `status ${String(response.status)} in ${String(took())} ms` };
  } catch (error) {
    const code = codeOf(error);
    if (ours.includes(code)) return { state: 'unknown', value: null, detail: `could not be asked from here: ${code}` };
    return { state: 'bad', value: null, detail: signal.aborted ? `no answer within ${String(took())} ms` : `no answer: ${code === '' ? (error instanceof Error ? error.message : String(error)) : code}` };
  }
}

/** Of several series the worst one. An empty answer is no answer. */
export async function lookPrometheus(look: PrometheusLook, signal: AbortSignal): Promise<Seen> {
  const response = await fetch(`${look.url.replace(/\/$/, '')}/api/v1/query`, {
    method: 'POST', signal, redirect: 'manual', headers: { ...headers(look.token), 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ query: look.query }).toString(),
  });
  const body = await text(response, 8 * 1024 ** 2);
  if (!response.ok) return { state: 'unknown', value: null, detail: `Prometheus answered ${String(response.status)}: ${body.slice(0, 200)}` };
  const { data } = JSON.parse(body) as { data?: { resultType?: string; result?: unknown } };
  const series = data?.resultType === 'vector' ? (data.result as { value?: [number, string] }[]).map((each) => each.value?.[1]) : data?.resultType === 'scalar' ? [(data.result as [number, string])[1]] : [];
  // Go writes infinity as `+Inf`: what was divided by nothing is the worst, not nothing.
  const values = series.map((each) => (each === '+Inf' ? Infinity : each === '-Inf' ? -Infinity : Number(each))).filter((value) => !Number.isNaN(value));
  if (values.length === 0) return { state: 'unknown', value: null, detail: 'the query has no result' };
  const value = look.below ? Math.min(...values) : Math.max(...values);
  return { state: 'ok', value, detail: `${String(value)}${values.length === 1 ? '' : ` (worst of ${String(values.length)})`}` };
}
