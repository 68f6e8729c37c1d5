/**
 * Records histories for the replay test: `node test/replay/record.ts <release> [data | operations | failover]…`. Run it on a version that users have, never on a
 * branch under test: what is recorded here is what their running workflows look like.
 */
import { writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { checkout, stopAll } from '../support/index.ts';
import type { Stack } from '../support/stack.ts';
import { data } from './scenes/data.ts';
import { failover } from './scenes/failover.ts';
import { operations } from './scenes/operations.ts';

export interface Recorder {
  /** Saves the history of a workflow id, its latest run. */
  save: (stack: Stack, workflowId: string, name: string) => Promise<void>;
  /** Saves one run of every type that ran and is not among `but`. */
  saveTypes: (stack: Stack, but: readonly string[]) => Promise<void>;
  /** Text that says whose machine it was, and what stands for it. */
  hide: (text: string, by: string) => void;
}

const [release, ...chosen] = process.argv.slice(2);
const scenes = { data, operations, failover };
if (release === undefined || chosen.some((name) => !Object.hasOwn(scenes, name))) throw new Error(`usage: node test/replay/record.ts <release> [${Object.keys(scenes).join(' | ')}]…`);
const folder = new URL('./histories/', import.meta.url).pathname;
const hidden = new Map([[hostname(), 'recorder']]);

const recoded = (data: string, change: (text: string) => string): string => Buffer.from(change(Buffer.from(data, 'base64').toString('latin1')), 'latin1').toString('base64');

const recorder: Recorder = {
  hide: (text, by) => void hidden.set(text, by),
  save: async (stack, workflowId, name) => {
    const { client } = await stack.client();
    const history = await client.workflow.getHandle(workflowId).fetchHistory();
    const shown = [...hidden, [stack.dir, '/srv/resurgo'], [checkout, '/opt/resurgo'], [tmpdir(), '/var/lib']] as const;
    const hide = (text: string): string => shown.reduce((all, [what, by]) => all.replaceAll(what, by), text);
    // Payloads are Base64: what is in them has to be hidden too.
    const text = hide(JSON.stringify(JSON.parse(historyToJSON(history), (key, value: unknown) => (key === 'data' && typeof value === 'string' ? recoded(value, hide) : value)), null, 1));
    writeFileSync(join(folder, `${release}-${name}.json`), `${text}\n`);
    process.stdout.write(`${release}-${name}: ${String(history.events?.length ?? 0)} events\n`);
  },
  saveTypes: async (stack, but) => {
    const { client } = await stack.client();
    const seen = new Set(but);
    for await (const { type, workflowId } of client.workflow.list()) {
      if (seen.has(type) || type.startsWith('temporal-')) continue;
      seen.add(type);
      await recorder.save(stack, workflowId, type.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));
    }
  },
};

for (const name of chosen.length > 0 ? chosen : Object.keys(scenes)) await scenes[name as keyof typeof scenes](recorder);
await stopAll();
process.exit(0);
