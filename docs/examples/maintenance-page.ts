/**
 * An action of one's own: a maintenance page that a web server shows while a file is there. In the configuration:
 *
 *   actions: [./maintenance-page.ts]
 *   plans:
 *     upgrade:
 *       steps:
 *         - { id: page, uses: maintenance.show, with: { file: /srv/www/maintenance.html, text: Back soon } }
 *
 * The file must belong to root or the worker's user, and nobody else may write it: it is code of the worker.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import type { Action, ActionContext } from '../../domain/action.ts';

interface Input {
  readonly file: string;
  readonly text: string;
}

const current = (file: string): Promise<string | null> => readFile(file, 'utf8').catch(() => null);

const action: Action<Input, { readonly before: string | null }, { readonly file: string }> = {
  name: 'maintenance.show',
  version: 1,
  description: 'Shows a maintenance page.',
  // A second time makes no difference, so a lost attempt is simply made again.
  effect: 'converge',
  outputs: ['file'],
  undo: 'the page goes, or what was there before comes back',
  parse(input) {
    const { file, text } = (input ?? {}) as Partial<Input>;
    if (typeof file !== 'string' || !file.startsWith('/')) throw new Error('file must be an absolute path');
    if (typeof text !== 'string') throw new Error('text is missing');
    return { file, text };
  },
  subject: ({ file }) => file,
  check: async ({ input }: ActionContext<Input>) => [(await current(input.file)) === null ? 'no page is shown' : 'a page is shown already'],
  capture: async ({ input }) => ({ before: await current(input.file) }),
  async apply({ input }) {
    await writeFile(input.file, input.text);
    return { summary: `shown: ${input.text}`, output: { file: input.file } };
  },
  verify: async ({ input }) => {
    if ((await current(input.file)) !== input.text) throw new Error(`${input.file} does not hold the page`);
    return 'the page is there';
  },
  async compensate({ input }, { before }) {
    const now = await current(input.file);
    if (now === before) return 'it is as it was';
    // Somebody else's page is not ours to remove.
    if (now !== input.text) throw new Error(`${input.file} was changed by somebody else since`);
    await (before === null ? rm(input.file, { force: true }) : writeFile(input.file, before));
    return before === null ? 'the page is gone' : 'the page before is back';
  },
};

export default action;
