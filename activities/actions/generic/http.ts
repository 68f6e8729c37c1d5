import { z } from 'zod';
import { defineAction } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { durationField, hostField, inputOf, textField, urlField } from '../input.ts';

const headers = z
  .record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'is not a name of a header'), textField('its value'))
  .optional()
  .meta({ kind: 'mapping', description: 'Headers of the request; secrets by reference.' });
const status = z
  .union([z.number().int().min(100).max(599), z.array(z.number().int().min(100).max(599)).min(1)])
  .optional()
  .meta({ kind: 'number, or list of numbers', description: 'Statuses that are success; default 200 to 299.' });
const common = {
  url: urlField('Where.'),
  headers,
  status,
  contains: textField('The answer must contain this text.').optional(),
  timeout: durationField('For one request.').default(10_000),
  host: hostField,
};

interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers?: Record<string, string> | undefined;
  readonly body?: string | undefined;
  readonly status?: number | number[] | undefined;
  readonly contains?: string | undefined;
  readonly timeout: number;
}

interface Answer {
  readonly status: number;
  /** The first 4000 characters. */
  readonly body: string;
  readonly durationMs: number;
}

const bodyLimit = 1024 * 1024;

/** One request; redirects are not followed, so that what is configured is what is reached. @throws httpFailed */
async function request(options: Request, signal: AbortSignal): Promise<Answer> {
  const startedAt = performance.now();
  const shown = `${options.method} ${withoutQuery(options.url)}`;
  let response: Response;
  let body: string;
  try {
    response = await fetch(options.url, {
      method: options.method,
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(options.timeout)]),
      ...(options.headers === undefined ? {} : { headers: options.headers }),
      ...(options.body === undefined ? {} : { body: options.body }),
    });
    body = await readText(response);
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : '';
    throw new ResurgoError('httpFailed', `${shown}: ${error instanceof Error ? error.message : String(error)}${cause === '' ? '' : ` (${cause})`}`, { cause: error });
  }
  const wanted = options.status === undefined ? undefined : [options.status].flat();
  const good = wanted === undefined ? response.ok : wanted.includes(response.status);
  if (!good) throw new ResurgoError('httpFailed', `${shown} was answered with ${String(response.status)}${wanted === undefined ? '' : `, not ${wanted.join(' or ')}`}: ${body.slice(0, 300)}`, { details: { status: response.status } });
  if (options.contains !== undefined && !body.includes(options.contains)) throw new ResurgoError('httpFailed', `${shown}: the answer does not contain ${JSON.stringify(options.contains)}: ${body.slice(0, 300)}`);
  return { status: response.status, body: body.slice(0, 4000), durationMs: Math.round(performance.now() - startedAt) };
}

async function readText(response: Response): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > bodyLimit) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

const withoutQuery = (url: string): string => url.split(/[?#]/)[0] ?? url;
const hostOfUrl = (url: string): string => (URL.canParse(url) ? new URL(url).host : url);

const okSchema = z.strictObject({ ...common, method: z.enum(['GET', 'HEAD']).default('GET').meta({ description: 'How it is asked.' }) });

/** A health check: succeeds as soon as the answer is right, tried until the time is over. */
export const httpOk = defineAction<z.output<typeof okSchema>, Record<string, never>, Answer>({
  name: 'http.ok',
  version: 1,
  description: 'Asks an HTTP address until it answers as it should.',
  effect: 'none',
  ...inputOf(okSchema),
  outputs: ['status', 'body', 'durationMs'],
  defaultTimeoutMs: 60_000,
  subject: ({ url }) => hostOfUrl(url),
  host: ({ host }) => host,
  async apply({ input, signal }) {
    const answer = await request(input, signal);
    return { summary: `answered ${String(answer.status)} in ${String(answer.durationMs)} ms`, output: answer };
  },
});

const callSchema = z.strictObject({
  ...common,
  method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']).default('POST').meta({ description: 'Method.' }),
  body: z.unknown().optional().meta({ kind: 'text, or anything for JSON', description: 'Sent as it is when it is text, else as JSON.' }),
  effect: z.enum(['none', 'converge', 'irreversible']).optional().meta({ kind: '`none`, `converge`, `irreversible`', description: 'Default: `none` for GET and HEAD, `converge` for PUT and DELETE, else `irreversible`: at most once.' }),
  compensate: z
    .strictObject({ url: urlField('Where.'), method: z.enum(['POST', 'PUT', 'PATCH', 'DELETE']).default('POST'), body: z.unknown().optional() })
    .optional()
    .meta({ kind: 'mapping', description: 'The request that undoes it: `{ url, method, body }`; must be right a second time.' }),
});
type Call = z.output<typeof callSchema>;

const effectOf = ({ effect, method }: Call): 'none' | 'converge' | 'irreversible' =>
  effect ?? (method === 'GET' || method === 'HEAD' ? 'none' : method === 'PUT' || method === 'DELETE' ? 'converge' : 'irreversible');

function withBody(body: unknown, given: Record<string, string> | undefined, key: string): { headers: Record<string, string>; body?: string } {
  const base = { 'idempotency-key': key, ...given };
  if (body === undefined) return { headers: base };
  if (typeof body === 'string') return { headers: base, body };
  return { headers: { 'content-type': 'application/json', ...base }, body: JSON.stringify(body) };
}

/** Calls an HTTP interface. Every attempt of a step carries the same `idempotency-key`. */
export const httpCall = defineAction<Call, Record<string, never>, Answer>({
  name: 'http.call',
  version: 1,
  description: 'Sends an HTTP request.',
  effect: 'irreversible',
  ...inputOf(callSchema),
  outputs: ['status', 'body', 'durationMs'],
  undo: 'sends the request under `compensate`',
  subject: ({ method, url }) => `${method} ${hostOfUrl(url)}`,
  host: ({ host }) => host,
  abilities: (input) => ({ effect: effectOf(input), compensate: input.compensate !== undefined }),
  async apply({ input, signal, runId, stepId }) {
    const { body, ...rest } = input;
    const answer = await request({ ...rest, ...withBody(body, input.headers, `${runId}/${stepId}`) }, signal);
    return { summary: `answered ${String(answer.status)} in ${String(answer.durationMs)} ms`, output: answer };
  },
  async compensate({ input, signal, runId, stepId }) {
    if (input.compensate === undefined) throw new ResurgoError('bug', 'http.call has nothing to undo it with');
    const { body, ...rest } = input.compensate;
    const answer = await request({ ...rest, timeout: input.timeout, ...withBody(body, input.headers, `${runId}/${stepId}/undo`) }, signal);
    return `${rest.method} answered ${String(answer.status)}`;
  },
});
