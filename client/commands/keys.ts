import { ResurgoError } from '../../domain/errors.ts';
import type { Register } from './index.ts';

const actions = ['list', 'add', 'remove', 'rotate', 'rewrap'] as const;

export const registerKeys: Register = (program, cli) => {
  program
    .command('keys')
    .argument('<action>', actions.join(', '))
    .argument('[recipient]', 'with add, remove: an age public key (age1…)')
    .description('who can restore: `add` or `remove` a recipient, `rotate` the identity, `rewrap` what is stored for the recipients of the configuration')
    .action(
      cli.action(async (context, action: string, recipient: string | undefined) => {
        if (!(actions as readonly string[]).includes(action)) throw new ResurgoError('usage', `keys ${action}: the action is one of ${actions.join(', ')}`);
        const takesOne = action === 'add' || action === 'remove';
        if (takesOne !== (recipient !== undefined)) throw new ResurgoError('usage', takesOne ? `keys ${action} needs a recipient (age1…)` : `unexpected argument ${String(recipient)}`);
        const { runKeys } = await import('../keys/run.ts');
        return runKeys(context, action as (typeof actions)[number], recipient);
      }),
    );
};

export type KeysAction = (typeof actions)[number];
