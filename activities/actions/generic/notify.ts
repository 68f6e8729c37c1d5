import { z } from 'zod';
import { channelRoutes, resolveChannel } from '../../../config/channels.ts';
import { didYouMean } from '../../../config/suggest.ts';
import { defineAction, type Action } from '../../../domain/action.ts';
import { ResurgoError } from '../../../domain/errors.ts';
import { outcomeOfTelling, routesOf, type Notification, type NotificationOutcome } from '../../../domain/notification.ts';
import { severities } from '../../../domain/severity.ts';
import { send } from '../../../providers/notify/notify.ts';
import type { ActivityDeps } from '../../deps.ts';
import { inputOf, textField } from '../input.ts';

/** A step waits no longer than this for the channels; with Temporal they are tried further without it. */
const patienceMs = 10_000;

const schema = z.strictObject({
  subject: textField('Headline.'),
  text: textField('What is said. No secrets: it stands in the history.').optional(),
  severity: z.enum(severities).default('medium').meta({ description: 'How grave; channels may want only what is grave.' }),
  channels: z.array(textField('a channel')).min(1, 'names no channel').optional().meta({ kind: 'list of names', description: 'Channels of `notify`, whatever they want; default those that want the event `plan` and the severity.' }),
});
type Input = z.output<typeof schema>;

function messageOf({ subject, text, severity, channels }: Input, run: { readonly runId: string; readonly stepId: string }): Notification {
  return {
    event: 'plan',
    severity,
    subject: subject.slice(0, 300),
    text: (text ?? subject).slice(0, 8000),
    dedupeKey: `plan/${run.runId}/${run.stepId}`.slice(0, 255),
    facts: { run: run.runId, step: run.stepId, look: `resurgo plan show ${run.runId}` },
    ...(channels === undefined ? {} : { to: channels, only: true }),
  };
}

/** Tells people; a recovery neither fails nor waits because of a channel. */
export const notify = (deps: ActivityDeps): Action => {
  // Asked for when it runs: the reference is made from actions without a configuration.
  const routes = () => channelRoutes(deps.loaded.config);
  const unknownOf = ({ channels = [] }: Input): string[] => channels.filter((channel) => !routes().some(({ name }) => name === channel));
  return defineAction<Input, Record<string, never>, { told: readonly string[]; failed: readonly string[] }>({
    name: 'notify',
    version: 1,
    description: 'Tells people on the channels of `notify`. A channel that fails is a remark, never a failure; with Temporal it is tried further while the plan goes on.',
    effect: 'none',
    neverCritical: true,
    ...inputOf(schema),
    outputs: ['told', 'failed'],
    defaultTimeoutMs: 60_000,
    subject: ({ subject }) => subject.split('\n')[0]?.slice(0, 100) ?? '',
    // In a run a channel that has gone is a remark too: see the outcome.
    check: async ({ input, dryRun }) => {
      const [unknown] = unknownOf(input);
      const names = routes().map(({ name }) => name);
      if (unknown === undefined) return input.channels === undefined && routes().length === 0 ? ['there are no channels: nobody is told'] : [];
      const message = `there is no notify channel ${JSON.stringify(unknown)}${didYouMean(unknown, names) || (names.length === 0 ? '; there are none at all' : `; there are ${names.join(', ')}`)}`;
      if (dryRun) throw new ResurgoError('configInvalid', message);
      return [message];
    },
    child: (input, run) => ({ workflow: 'notification', input: { ...messageOf(input, run) }, pick: [], tellMs: patienceMs }),
    // Without Temporal: each channel once.
    async apply({ input, runId, stepId, signal }) {
      const message = messageOf(input, { runId, stepId });
      const outcomes = await Promise.all(routesOf(message, routes()).map((channel) => tellOnce(deps, channel, message, signal)));
      return outcomeOfTelling([...outcomes, ...unknownOf(input).map((channel) => ({ channel, status: 'failed' as const, detail: 'there is no such channel' }))]);
    },
  });
};

async function tellOnce(deps: ActivityDeps, channel: string, message: Notification, signal: AbortSignal): Promise<NotificationOutcome> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
  const late = new Promise<never>((_, reject) => {
    limit.addEventListener('abort', () => { reject(new Error('it did not answer in time')); });
  });
  try {
    // Mail knows no signal.
    return { channel, status: 'sent', detail: await Promise.race([send(resolveChannel(deps.loaded.config, channel), message, limit), late]) };
  } catch (error) {
    return { channel, status: 'failed', detail: error instanceof Error ? error.message : String(error) };
  }
}
