import { ResurgoError } from '../../domain/errors.ts';
import type { Register } from './index.ts';

export const registerNotify: Register = (program, cli) => {
  const notify = program.command('notify').description('the channels on which people are told');
  notify
    .command('test')
    .argument('[channel...]', 'only these')
    .description('send a test message on every channel, from here; exit code 7 when one did not take it')
    .action(
      cli.action(async (context, names: readonly string[]) => {
        const { config } = await context.loadConfig();
        const [{ channelRoutes, resolveChannel }, { notify: send }, { testMessage }] = await Promise.all([
          import('../../config/channels.ts'), import('../../providers/notify/notify.ts'), import('../test-message.ts'),
        ]);
        const wanted = names.length > 0 ? [...new Set(names)] : channelRoutes(config).map((route) => route.name);
        if (wanted.length === 0) throw new ResurgoError('configInvalid', 'the configuration has no notify section', { details: { hint: 'docs/guides/notifications.md shows one.' } });
        const outcomes = await send(wanted.map((name) => resolveChannel(config, name)), testMessage(new Date()), context.signal);
        if (context.output.json) context.output.document({ channels: outcomes });
        else for (const { channel, status, detail } of outcomes) context.output.line(status === 'sent' ? '✓' : '✗', status === 'sent' ? 'green' : 'red', ` ${channel}  ${detail}`);
        const failed = outcomes.filter((outcome) => outcome.status === 'failed').length;
        return failed === 0 ? undefined : failed === outcomes.length ? 1 : 7;
      }),
    );
};
